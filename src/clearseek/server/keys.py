"""API keys: made once and shown once, kept as SHA-256 in `keys/api-keys.json`, readable by their owner only."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import os
import re
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from clearseek.errors import UserError
from clearseek.inference.budget import Caps
from clearseek.settings import home

_NAME = re.compile(r"[\w.@-]{1,64}")
_MAX_KEYS = 1000


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `id` names its holder everywhere (who owns a conversation); the secret itself is not kept.

    `usd_per_day` and `tokens_per_day` are its budget from midnight to midnight; None is no limit.
    """

    id: str
    name: str
    sha256: str
    created_at: float
    usd_per_day: float | None = None
    tokens_per_day: int | None = None

    @property
    def caps(self) -> Caps:
        return Caps(self.usd_per_day, self.tokens_per_day)


def keys_file() -> Path:
    return home() / "keys" / "api-keys.json"


def create(name: str, path: Path | None = None, caps: Caps = Caps()) -> str:
    """Make a key and return its secret, which is shown nowhere else.

    Raises UserError for a bad or taken name, or a budget that is none.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} cannot name a key; use 1 to 64 letters, digits, dots, dashes, underscores or @.")
    if not _is_budget(caps):
        raise UserError("A key's budget must be 0 or more, in dollars or in whole tokens a day.")
    path = path or keys_file()
    # 256 random bits: a fast hash is enough, there is nothing to guess
    secret = "cs-" + secrets.token_urlsafe(32)
    with _locked(path):
        keys = read_keys(path)
        if any(key.name == name for key in keys):
            raise UserError(f"There is a key named {name!r} already; remove it with `clearseek keys rm {name}` first.")
        if len(keys) >= _MAX_KEYS:
            raise UserError(f"There are {_MAX_KEYS} keys, which is the most; remove some with `clearseek keys rm`.")
        keys.append(Key(f"key-{secrets.token_hex(8)}", name, _digest(secret), time.time(), caps.usd, caps.tokens))
        _write(path, keys)
    return secret


def list_keys(path: Path | None = None) -> list[Key]:
    """Every key, oldest first. Raises UserError when the file cannot be read."""
    return read_keys(path or keys_file())


def remove(name: str, path: Path | None = None) -> None:
    """Remove the key of this name or id; a running server refuses it from its next request on."""
    path = path or keys_file()
    with _locked(path):
        keys = read_keys(path)
        left = [key for key in keys if name not in (key.name, key.id)]
        if len(left) == len(keys):
            raise UserError(f"There is no key named {name!r}; `clearseek keys list` shows those there are.")
        _write(path, left)


def read_keys(path: Path) -> list[Key]:
    """The keys in a file; none when it is not there. Raises UserError when it is not what `create` wrote."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The API keys in {path} cannot be read ({error}); check the file's owner and mode.") from None
    try:
        keys = [Key(**entry) for entry in json.loads(text)["keys"]]
        if not all(isinstance(key.id, str) and re.fullmatch("[0-9a-f]{64}", key.sha256) for key in keys):
            raise ValueError
        if not all(_is_budget(key.caps) for key in keys):
            raise ValueError
    except (ValueError, TypeError, KeyError):
        raise UserError(
            f"{path} is damaged: it is not a list of API keys. Restore it, or delete it and make new keys."
        ) from None
    return keys


class KeyRing:
    """The keys as a running server sees them: read again whenever the file changes, so that removing one counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: list[Key] = []

    def any(self) -> bool:
        """Whether there is a key at all. Raises UserError for an unreadable file: better closed than open."""
        return bool(self._current())

    def all(self) -> list[Key]:
        """Every key there is now."""
        return list(self._current())

    def caps(self, id: str) -> Caps:
        """The budget of the key with this id; none for one that is no key ("local")."""
        return next((key.caps for key in self._current() if key.id == id), Caps())

    def check(self, secret: str) -> str | None:
        """The id of the key with this secret, or None. Takes the same time whichever key it is, or none."""
        digest, result = _digest(secret), None
        for key in self._current():
            if hmac.compare_digest(key.sha256, digest):
                result = key.id
        return result

    def _current(self) -> list[Key]:
        try:
            stat = os.stat(self._path)
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        except FileNotFoundError:
            self._seen, self._keys = None, []
            return self._keys
        except OSError as error:
            raise UserError(f"The API keys in {self._path} cannot be read ({error.strerror}).") from None
        if seen != self._seen:
            self._keys = read_keys(self._path)
            self._seen = seen
        return self._keys


def _is_budget(caps: Caps) -> bool:
    usd, tokens = caps.usd, caps.tokens
    if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0):
        return False
    return usd is None or (isinstance(usd, (int, float)) and not isinstance(usd, bool) and 0 <= usd < math.inf)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _locked(path: Path) -> FileLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UserError(f"The folder {path.parent} cannot be made ({error.strerror}).") from None
    return FileLock(path.with_suffix(".lock"))


def _write(path: Path, keys: list[Key]) -> None:
    """Aside, to disk, then renamed: the file is whole at any moment, and never readable by others."""
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    try:
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump({"keys": [asdict(key) for key in keys]}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UserError(f"The API keys cannot be written to {path} ({error.strerror}).") from None
