"""Settings: flags, then `CLEARSEEK_*` environment variables, then `config.toml`; and where state lives."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated, Any, get_type_hints

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
from clearseek.toml_tables import Source, convert, parse_toml

OWN_MODEL = "clearseek-r1-135m"
"""ClearSeek's own model; the default one wherever its adapter lies in the package."""
SMALL_MODEL = "smollm2-135m-instruct"
"""What its adapter belongs on; the default one without it."""


def model_data() -> Path:
    """The package's folder of adapters: `<name>/adapter.json`, its receipt, and what else belongs to a model."""
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
    source, given = _config_file()
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        location = _location(first["loc"])
        name = ".".join(location)
        if first["type"] == "extra_forbidden":
            known = list(_fields(location[:-1]))
            raise UsageError(f"There is no setting `{name}`; {source.nearest(location[-1], known)}") from None
        message = first["msg"].removeprefix("Value error, ")
        sentence = f"the setting `{name}` is wrong: {message}{_got(location, first['input'])}."
        in_file = _is_in(given, location) and flags.get(location[0]) is None and not _environment(location)
        where = source.where(*_table_and_key(location)) if in_file else ""
        raise UsageError(f"{where}: {sentence}" if where else f"T{sentence[1:]}") from None
    except SettingsError as error:  # an environment variable for a whole table or list that is not JSON
        raise UsageError(f"A CLEARSEEK_ environment variable cannot be read: {str(error).rstrip('.')}.") from None


def _config_file() -> tuple[Source, dict[str, Any]]:
    """The text of `config.toml` and its tables, every key known, every value of its type; empty without one."""
    path = home() / "config.toml"
    if not path.exists():
        return Source(str(path)), {}
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    given = parse_toml(content, str(path))
    source = Source(str(path), content.decode())
    source.check_keys(given, list(Settings.model_fields), "")
    for key, value in given.items():
        table = Settings.model_fields[key].annotation
        if not (isinstance(table, type) and issubclass(table, _Table)):
            _check_type(source, Settings, (key,), value)
            continue
        if not isinstance(value, dict):
            where = source.where("", None, key)
            raise UsageError(f"{where}: `{key}` is a table: write [{key}], and its entries on lines below it.")
        source.check_keys(value, list(table.model_fields), key)
        for name, inner in value.items():
            _check_type(source, table, (key, name), inner)
    return source, given


def _check_type(source: Source, model: type[BaseModel], location: tuple[str, ...], value: Any) -> None:
    """Raises UsageError for a value that only a guess would make one of the setting's type: TOML has types of its own,
    so "4" is no number, and `true` neither."""
    hint = get_type_hints(model)[location[-1]]
    if hint == float | tuple[float, float] | None and not isinstance(value, str):
        return  # an Amount, whose own check says more
    try:
        convert(value, str if hint == SecretStr | None else hint)
    except ValueError as error:
        where = source.where(*_table_and_key(location))
        raise UsageError(
            f"{where}: the setting `{'.'.join(location)}` must be {error}{_got(location, value)}."
        ) from None


def _got(location: tuple[str, ...], value: Any) -> str:
    """What was given instead; of a secret nothing is repeated."""
    return "" if location == ("engine_key",) else f" (got {value!r})"


def _table_and_key(location: tuple[str, ...]) -> tuple[str, None, str | None]:
    """What `Source.where` is asked for a setting's line: a table's own where the fault is in no one key of it."""
    if len(location) > 1:
        return location[0], None, location[1]
    if location[0] in ("prices", "machine", "budget"):
        return location[0], None, None
    return "", None, location[0]


def _is_in(given: dict[str, Any], location: tuple[str, ...]) -> bool:
    part: Any = given
    for name in location:
        if not isinstance(part, dict) or name not in part:
            return False
        part = part[name]
    return True


def _environment(location: tuple[str, ...]) -> bool:
    """Whether a variable of the environment sets this, or the whole table, and so what the file says is not heard."""
    names = {"CLEARSEEK_" + "__".join(location[:count]).upper() for count in range(1, len(location) + 1)}
    return any(name.upper() in names for name in os.environ)


def _fields(location: tuple[str, ...]) -> dict[str, Any]:
    """The fields of the settings, or of a table of theirs."""
    fields: dict[str, Any] = dict(Settings.model_fields)
    for part in location:
        table = fields[part].annotation if part in fields else None
        fields = dict(table.model_fields) if isinstance(table, type) and issubclass(table, _Table) else {}
    return fields


def _location(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """The names of a setting; what pydantic adds to them about the branches of a union is left out."""
    names = [str(part) for part in location]
    return tuple(names[:2] if _fields((names[0],)) else names[:1])
