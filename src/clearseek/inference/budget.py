"""Budgets of a day: what may be spent, what the ledger says was, and what running answers take meanwhile.

A day lasts from midnight to midnight on this machine's clock. What was spent is read from the ledger itself, so it
survives restarts and includes what other processes booked. What their running answers take is not known here before
it is booked: two servers on one ledger can together pass a cap by what they have under way.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Literal

from clearseek.inference.errors import EngineError
from clearseek.ledger.entry import unix

_BLOCK = 1 << 20
_TOKENS = ("prompt_tokens", "completion_tokens")
Kind = Literal["tokens", "money"]


@dataclass(frozen=True, slots=True)
class Caps:
    """What a day may take; None is no limit."""

    usd: float | None = None
    tokens: int | None = None

    @property
    def any(self) -> bool:
        return self.usd is not None or self.tokens is not None


class OverBudget(EngineError):
    """Nothing is left for today. `resets_at` is Unix time in seconds; `retry_after` seconds until then."""

    status = 402
    kind = "budget"

    def __init__(self, message: str, of: Kind, resets_at: float) -> None:
        super().__init__(message)
        self.of, self.resets_at = of, resets_at
        self.retry_after = max(1, round(resets_at - time.time()))


@dataclass(slots=True)
class DaySpent:
    """Of a day. `usd` is the upper end of what is known; `unknown` counts the entries that have no price."""

    tokens: int = 0
    usd: float = 0.0
    unknown: int = 0


class Spending:
    """What the book at `path` says was spent since midnight, in all and by owner. Follows the file as it grows.

    `refresh` may be called from any thread. A line that is no entry is passed over here: `clearseek ledger --check`
    is who tells it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset: int | None = None
        self._identity: tuple[int, int] | None = None
        self._midnight = 0.0
        self._by_owner: dict[str, DaySpent] = {}
        self._all = DaySpent()
        self._lock = threading.Lock()

    def of(self, owner: str | None) -> DaySpent:
        """Of one owner; None: of all together. As of the last `refresh`."""
        return self._all if owner is None else self._by_owner.get(owner, DaySpent())

    @property
    def stale(self) -> bool:
        """Whether the file or the day has moved on since the last `refresh`. Cheap."""
        try:
            stat = self._path.stat()
        except OSError:
            return self._offset is not None
        same = (stat.st_dev, stat.st_ino) == self._identity and stat.st_size == self._offset
        return not same or self._midnight != midnight()

    def refresh(self) -> None:
        """Read what was added. From the start of the day when the day is new, or the file is another one."""
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        today = midnight()
        try:
            file = self._path.open("rb")
        except OSError:
            self._forget(today)
            self._offset = None
            return
        with file:
            stat = self._path.stat()
            identity = (stat.st_dev, stat.st_ino)
            if identity != self._identity or today != self._midnight or stat.st_size < (self._offset or 0):
                self._forget(today)
                self._identity, self._offset = identity, self._start_of_day(file, stat.st_size, today)
            assert self._offset is not None
            file.seek(self._offset)
            while True:
                line = file.readline()
                if not line.endswith(b"\n"):
                    return  # being written, or torn: it counts when it is whole
                self._offset += len(line)
                self._add(line)

    def _forget(self, today: float) -> None:
        self._midnight, self._by_owner, self._all = today, {}, DaySpent()

    @staticmethod
    def _start_of_day(file: BinaryIO, size: int, today: float) -> int:
        """An offset at the start of a line, before everything that was booked today. Looks back block by block."""
        offset = size
        while offset > 0:
            offset = max(0, offset - _BLOCK)
            file.seek(offset)
            if offset:
                file.readline()  # the end of a line that began before
            start = file.tell()
            at = _at(file.readline())
            # a clock that was put back, or another process's, must not hide entries: an hour to spare
            if at is not None and at < today - 3600:
                return start
        return 0

    def _add(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            at, labels, quantities = unix(entry["at"]), entry["labels"], entry["quantities"]
            tokens = sum(int(quantities[name]["value"] or 0) for name in _TOKENS if name in quantities)
            money = quantities.get("money")
            owner = labels.get("owner")
            usd = None if money is None else money.get("high", money["value"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if at < self._midnight or not quantities:  # a remark about the book itself spent nothing
            return
        for spent in (self._all, *([self._by_owner.setdefault(owner, DaySpent())] if isinstance(owner, str) else [])):
            spent.tokens += tokens
            spent.usd += usd or 0.0
            spent.unknown += usd is None


def _at(line: bytes) -> float | None:
    try:
        return unix(json.loads(line)["at"])
    except (ValueError, KeyError, TypeError):
        return None


def midnight(days: int = 0) -> float:
    """Unix time of the midnight that began today, on this machine's clock; or of one so many days later."""
    day = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None) + timedelta(days=days)
    return day.timestamp()


@dataclass(eq=False, slots=True)
class Scope:
    """What one cap is about: the whole day, or one key's. Tokens and dollars here are those that no entry holds yet."""

    owner: str | None
    """None: everybody."""
    name: str
    """In words: "Today's budget", "This key's budget for today"."""
    caps: Caps
    spending: Spending
    tokens: int = 0
    """Of answers that are over and wait to be booked."""
    usd: float = 0.0
    """Likewise; what running ones have taken so far is added when it is looked at."""
    running: dict[object, int] = field(default_factory=dict)
    """Tokens taken so far by each answer that runs."""
    promised: dict[object, int] = field(default_factory=dict)
    """Tokens kept free for each answer that runs and asked for a definite number."""

    def tokens_now(self) -> int:
        """Tokens left of the cap that there is."""
        assert self.caps.tokens is not None
        return self.caps.tokens - self.spending.of(self.owner).tokens - self.tokens - sum(self.running.values())

    def tokens_left(self) -> int | None:
        """Tokens that nobody has taken or been promised; None without a cap."""
        if self.caps.tokens is None:
            return None
        kept = sum(max(0, kept - self.running.get(answer, 0)) for answer, kept in self.promised.items())
        return self.tokens_now() - kept

    def usd_left(self, running: float) -> float | None:
        """Dollars left when running answers have taken `running` so far; None without a cap."""
        if self.caps.usd is None:
            return None
        return self.caps.usd - self.spending.of(self.owner).usd - self.usd - running

    def over(self, of: Kind, prompt: int = 0) -> OverBudget:
        """The refusal, in words. `prompt` is how long a prompt is that does not fit into what is left."""
        again = midnight(1)
        cap = f"{self.caps.tokens:,} tokens" if of == "tokens" else f"${self.caps.usd:,.4g}"
        raised = "[budget] in config.toml raises it" if self.owner is None else "whoever runs this server can raise it"
        what = f"does not hold the {prompt:,} tokens of this question" if prompt else "is used up"
        left = _in_words(max(1, round(again - time.time())))
        return self.refusal(f"{self.name}, {cap}, {what}. It begins anew at midnight, in {left}; {raised}.", of)

    def refusal(self, message: str, of: Kind) -> OverBudget:
        return OverBudget(message, of, midnight(1))


def _in_words(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} seconds"
    return f"{seconds // 60} minutes" if seconds < 2 * 3600 else f"{seconds // 3600} hours"
