"""Settings: flags, then `CLEARSEEK_*` environment variables, then `config.toml`; and where state lives."""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from clearseek.errors import UsageError

OWN_MODEL = "clearseek-r1-135m"
"""ClearSeek's own model; the default one wherever its adapter lies in the package."""
SMALL_MODEL = "smollm2-135m-instruct"
"""What its adapter belongs on; the default one without it."""


def model_data() -> Path:
    """The package's folder of adapters and their papers: `<name>/adapter.json` and what else belongs to a model."""
    return Path(__file__).parent / "data" / "models"


def default_model() -> str:
    """The name of the model that is used where none is named."""
    return OWN_MODEL if (model_data() / OWN_MODEL / "adapter.json").is_file() else SMALL_MODEL


def home() -> Path:
    """The one folder of all state (`models/`, `runs/`, `chat.sqlite`, `keys/`); `CLEARSEEK_HOME` overrides it."""
    override = os.environ.get("CLEARSEEK_HOME")
    if override:
        return Path(override).expanduser().resolve()
    return Path(platformdirs.user_data_dir("clearseek", appauthor=False))


def _amount(given: Any) -> Any:
    """A number, or [low, high]. In an environment variable: `0.05`, or `0.04,0.06` with or without the brackets."""
    if isinstance(given, str):
        parts = given.strip().removeprefix("[").removesuffix("]").split(",")
        try:
            given = [float(part) for part in parts] if len(parts) > 1 else float(parts[0])
        except ValueError:
            raise ValueError("it must be a number, or two: low,high") from None
    numbers = given if isinstance(given, (list, tuple)) else [given]
    if any(isinstance(number, bool) or not isinstance(number, (int, float)) for number in numbers):
        raise ValueError("it must be a number, or an interval [low, high]")
    if any(not 0 <= number < math.inf for number in numbers):
        raise ValueError("it must be finite, and 0 or more")
    if isinstance(given, (list, tuple)):
        if len(given) != 2:
            raise ValueError("an interval has two numbers, [low, high]")
        if given[0] > given[1]:
            raise ValueError("the first number of an interval must not be above the second")
    return given


Amount = Annotated[float | tuple[float, float], BeforeValidator(_amount)]
"""What someone declares: a number, or an interval (low, high) that it lies in."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Prices(_Table):
    """`[prices]`: what the user says they pay. None has a default, ever: undeclared is unknown."""

    machine_usd_per_hour: Amount | None = None
    """What this machine costs for an hour: its rent, or what you count for wear. Without electricity, unless the
    rent includes it: what is declared for electricity is added."""
    electricity_usd_per_kwh: Amount | None = None
    grid_region: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    """Three letters of a country, such as "DEU": what a kilowatt-hour weighs in CO2 there."""


class Machine(_Table):
    """`[machine]`: what this machine draws, in watts, for where nothing here can measure it."""

    watts: Amount | None = None
    """At full load."""
    watts_idle: Amount | None = None

    @model_validator(mode="after")
    def _idle_is_less(self) -> Machine:
        if self.watts is not None and self.watts_idle is not None and _low(self.watts_idle) > _high(self.watts):
            raise ValueError("`watts_idle` must not be above `watts`, which is at full load")
        return self


def _low(amount: float | tuple[float, float]) -> float:
    return amount[0] if isinstance(amount, tuple) else amount


def _high(amount: float | tuple[float, float]) -> float:
    return amount[1] if isinstance(amount, tuple) else amount


class Budget(_Table):
    """`[budget]`: what all answers of one day (from midnight to midnight here) may take together."""

    usd_per_day: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    tokens_per_day: Annotated[int, Field(ge=0)] | None = None
    """Tokens read and written, as `usage.total_tokens` counts them."""


class Settings(BaseSettings):
    """Every option of the server and the engines, with its default. Unknown keys in `config.toml` are errors.

    An entry of a table is set in the environment with two underscores: `CLEARSEEK_PRICES__MACHINE_USD_PER_HOUR`.
    """

    model_config = SettingsConfigDict(env_prefix="CLEARSEEK_", env_nested_delimiter="__", extra="ignore", frozen=True)

    model: str = Field(default_factory=lambda: default_model())
    host: str = "127.0.0.1"
    port: int = Field(default=8420, ge=0, le=65535)
    allowed_hosts: tuple[str, ...] = ()
    """Host names, besides loopback ones and the bound address, that requests may carry in `Host`."""
    engine_url: str | None = None
    """Base URL of an OpenAI-compatible server; models of that server are then served too."""
    engine_key: SecretStr | None = None
    context: int | None = Field(default=None, ge=256)
    """Tokens of context for one request; chosen from the machine and the model when absent."""
    threads: int | None = Field(default=None, ge=1)
    slots: int | None = Field(default=None, ge=1, le=64)
    """How many requests the local engine decodes side by side."""
    queue: int = Field(default=64, ge=0, le=10_000)
    """How many requests may wait; one more is refused at once."""
    max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    metering: bool = True
    """Whether what answers take is booked in the ledger."""
    prices: Prices = Prices()
    machine: Machine = Machine()
    budget: Budget = Budget()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, toml_file=home() / "config.toml")
        return init_settings, env_settings, toml


def load_settings(**flags: Any) -> Settings:
    """Settings with the given flags on top (flags that are None do not count).

    Raises UsageError, in one sentence, for a `config.toml` that is not TOML, an unknown key in it, or a bad value.
    """
    path = home() / "config.toml"
    if path.exists():
        try:
            keys = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} is not valid TOML: {error}.") from None
        _check_keys(keys, path)
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = _dotted(first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            raise UsageError(f"There is no setting `{name}`{_nearest(first['loc'])}") from None
        raise UsageError(f"The setting `{name}` is wrong: {said} (got {first['input']!r}).") from None
    except SettingsError as error:  # an environment variable for a whole table or list that is not JSON
        raise UsageError(f"A CLEARSEEK_ environment variable cannot be read: {str(error).rstrip('.')}.") from None


def _check_keys(keys: dict[str, Any], path: Path) -> None:
    """Raises UsageError for a key, or a key of a table, that is not one of the settings."""
    for key, value in keys.items():
        if key not in Settings.model_fields:
            raise UsageError(f"{path} has an unknown key `{key}`{_nearest((key,))}")
        table = Settings.model_fields[key].annotation
        if isinstance(table, type) and issubclass(table, _Table):
            if not isinstance(value, dict):
                raise UsageError(f"In {path} `{key}` is a table: write [{key}], and its entries on lines below it.")
            for name in value:
                if name not in table.model_fields:
                    raise UsageError(f"{path} has an unknown key `{name}` in [{key}]{_nearest((key, name))}")


def _nearest(location: tuple[int | str, ...]) -> str:
    """The end of a sentence about a name that is not there: the nearest one that is, or the full stop."""
    known: dict[str, Any] = dict(Settings.model_fields)
    for part in location[:-1]:
        table = known[str(part)].annotation
        known = dict(table.model_fields)
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; known ones are {', '.join(known)}." if location[1:] else "."


def _dotted(location: tuple[int | str, ...]) -> str:
    """The name of a setting; what pydantic adds to it about the branches of a union is left out."""
    names: list[str] = []
    known: dict[str, Any] = dict(Settings.model_fields)
    for part in location:
        if part not in known and names and len(names) > 1:
            break
        names.append(str(part))
        table = known[str(part)].annotation if part in known else None
        known = dict(table.model_fields) if isinstance(table, type) and issubclass(table, _Table) else {}
    return ".".join(names)
