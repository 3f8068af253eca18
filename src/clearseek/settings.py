"""Settings: flags, then `CLEARSEEK_*` environment variables, then `config.toml`; and where state lives."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from clearseek.errors import UsageError

DEFAULT_MODEL = "smollm2-135m-instruct"


def home() -> Path:
    """The one folder of all state (`models/`, `runs/`, `chat.sqlite`, `keys/`); `CLEARSEEK_HOME` overrides it."""
    override = os.environ.get("CLEARSEEK_HOME")
    if override:
        return Path(override).expanduser().resolve()
    return Path(platformdirs.user_data_dir("clearseek", appauthor=False))


class Settings(BaseSettings):
    """Every option of the server and the engines, with its default. Unknown keys in `config.toml` are errors."""

    model_config = SettingsConfigDict(env_prefix="CLEARSEEK_", extra="ignore", frozen=True)

    model: str = DEFAULT_MODEL
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
        for key in keys:
            if key not in Settings.model_fields:
                near = difflib.get_close_matches(key, Settings.model_fields, n=1)
                hint = f"; did you mean `{near[0]}`?" if near else "."
                raise UsageError(f"{path} has an unknown key `{key}`{hint}")
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"The setting `{name}` is wrong: {first['msg']} (got {first['input']!r}).") from None
