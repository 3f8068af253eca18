"""An index of the book in SQLite, so that sums over 100,000 entries take a moment. Derived: delete it at will.

It remembers how far it has read and the hash of the last entry there. Where those do not fit the book any more, it is
made again from the beginning; if that is because entries it knew are gone, it says so until it is deleted
(`Index.lost`): that is the one thing that the book cannot know of itself.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from clearseek.errors import UsageError, UserError
from clearseek.ledger.book import home_book, lines
from clearseek.ledger.entry import MAX_LINE, UNITS, unix
from clearseek.ledger.quantity import Basis, Quantity, unknown

LABELS = ("model", "conversation", "owner", "source", "run", "stage", "step", "parent")
GROUPS = ("day", "model", "kind", "conversation", "owner", "source", "run")
"""What `spend` can sum by."""
REMARKS = ("healed", "broken")
"""Kinds of entries about the book itself: nothing was spent."""

_SCHEMA = 1
_BASES = tuple(Basis)
_RANK = {str(basis): rank for rank, basis in enumerate(_BASES)}
_UNKNOWN = _RANK["unknown"]
_EXPECTED = ("energy", "money")
"""Every piece of work has these: an entry that does not name them does not know them."""
_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Row:
    """What was spent under one key (a day as 2026-11-23, a model, ...; "" where the entries have no such label).

    `totals` are the sums in the units of `entry.UNITS`; unknown where a part of them is. `known` are the sums of those
    parts that are known, and `missing` counts the entries whose part is not; both only for quantities in `totals`.
    """

    key: str
    entries: int
    totals: dict[str, Quantity]
    known: dict[str, Quantity]
    missing: dict[str, int]

    def as_json(self, by: str) -> dict[str, Any]:
        """Plain data; the key under the name of what was summed by."""
        return {
            by: self.key,
            "entries": self.entries,
            "totals": {name: quantity.as_json() for name, quantity in self.totals.items()},
            "known": {name: quantity.as_json() for name, quantity in self.known.items() if self.missing.get(name)},
            "missing": {name: count for name, count in self.missing.items() if count},
        }


class Index:
    """The index of one book; by default of this machine's own, beside it."""

    def __init__(self, book: Path | None = None, path: Path | None = None) -> None:
        self.book = book or home_book()
        self.path = path or self.book.with_suffix(".sqlite")

    def refresh(self) -> int:
        """Read what is new in the book, or everything where the index does not fit it. Returns how many entries.

        Raises UserError where the book cannot be read or the index not be written.
        """
        with self._told():
            try:
                return self._refresh()
            except sqlite3.DatabaseError as error:
                # spoilt, or of another version; not: locked, read-only, or on a full disk
                if isinstance(error, sqlite3.OperationalError) and "no such" not in str(error):
                    raise
                self.path.unlink(missing_ok=True)  # it is only an index
                return self._refresh()

    def spend(
        self,
        by: str | None = None,
        since: float | None = None,
        until: float | None = None,
        where: dict[str, str] | None = None,
    ) -> list[Row]:
        """What was spent from `since` up to `until` (Unix seconds), summed by one of GROUPS; by None: in one row.

        `where` names labels (or `kind`) and what they must be. Days are local ones and come in order, other keys with
        the most work (wall seconds) first. Entries with a parent are left out: the parent holds what they hold.
        Raises UsageError for a grouping or label that does not exist.
        """
        if by is not None and by not in GROUPS:
            raise UsageError(f"The ledger is not summed by `{by}`, but by {', '.join(GROUPS)}.")
        self.refresh()
        key = {None: "''", "day": "date(at, 'unixepoch', 'localtime')"}.get(by, f"coalesce({by}, '')")
        conditions, values = _conditions(since, until, where)
        order = "1" if by == "day" else "sum(wall) DESC, 1"
        sums = ", ".join(_sums(name) for name in UNITS)
        query = f"SELECT {key}, count(*), {sums} FROM entry WHERE {conditions} GROUP BY 1 ORDER BY {order}"
        with self._told(), self._open() as db:
            return [_row(found) for found in db.execute(query, values)]

    def tokens(
        self, since: float | None = None, until: float | None = None, where: dict[str, str] | None = None
    ) -> list[tuple[float, int, int, int]]:
        """Tokens by quarter of an hour: (Unix time at which it begins, prompt tokens not cached, cached, completion).

        Prices change with the hour, some at half past. `since`, `until` and `where` are as for `spend`.
        """
        self.refresh()
        conditions, values = _conditions(since, until, where)
        query = (
            "SELECT CAST(at / 900 AS INTEGER) * 900.0, sum(max(0, coalesce(prompt_tokens, 0) - "
            "coalesce(cached_tokens, 0))), sum(coalesce(cached_tokens, 0)), sum(coalesce(completion_tokens, 0)) "
            f"FROM entry WHERE {conditions} AND completion_tokens IS NOT NULL GROUP BY 1 ORDER BY 1"
        )
        with self._told(), self._open() as db:
            return [(at, int(miss), int(hit), int(out)) for at, miss, hit, out in db.execute(query, values)]

    def lost(self) -> str | None:
        """A sentence, if entries that this index once read are not in the book any more."""
        self.refresh()
        with self._told(), self._open() as db:
            return _meta(db).get("lost")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong with the files, in a sentence."""
        try:
            yield
        except OSError as error:
            raise UserError(f"{error.filename or self.book} cannot be read: {error.strerror or error}.") from error
        except sqlite3.Error as error:
            raise UserError(f"The ledger's index {self.path} cannot be used: {error}.") from error

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.path.exists()
        db = sqlite3.connect(self.path, timeout=10, isolation_level=None)
        try:
            if fresh:
                self.path.chmod(0o600)
            db.execute("PRAGMA synchronous = OFF")  # a power cut may spoil it: it is made again
            yield db
        finally:
            db.close()

    def _refresh(self) -> int:
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                known = _meta(db)
                if known.get("schema") != str(_SCHEMA) or known.get("book") != str(self.book.resolve()):
                    _make(db, self.book, lost=None)
                elif not self._fits(known):
                    _make(db, self.book, lost=known.get("lost") or self._what_is_lost(known))
                count = self._read_on(db)
                db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
        return count

    def _fits(self, known: dict[str, str]) -> bool:
        """Whether the line that was read last still ends where it did, and still is what it was."""
        offset = int(known["offset"])
        if offset == 0:
            return True
        try:
            with self.book.open("rb") as file:
                start = max(0, offset - MAX_LINE - 1)
                file.seek(start)
                before = file.read(offset - start)
        except OSError:
            return False
        last = before[before.rfind(b"\n", 0, len(before) - 1) + 1 :]
        return len(before) == offset - start and last.endswith(b"\n") and _hash_in(last) == known["head"]

    def _what_is_lost(self, known: dict[str, str]) -> str | None:
        """None if the entry that was read last is still there, at another place in the file."""
        wanted, seen = known["head"].encode(), 0
        if self.book.exists():
            for _, _, line in lines(self.book):
                seen += 1
                if wanted in line and _hash_in(line) == known["head"]:
                    return None
        return (
            f"Entry {known['seq']}, which was read before, is not in {self.book.name} any more (it has {seen} lines): "
            f"it was cut off, changed or replaced. If that was you, delete {self.path.name}."
        )

    def _read_on(self, db: sqlite3.Connection) -> int:
        known = _meta(db)
        offset, number, seq, head = int(known["offset"]), int(known["lines"]), known["seq"], known["head"]
        if not self.book.exists() or self.book.stat().st_size <= offset:
            return 0
        rows: list[tuple[Any, ...]] = []
        count = unreadable = 0
        insert = f"INSERT OR REPLACE INTO entry VALUES ({', '.join('?' * (4 + len(LABELS) + 4 * len(UNITS)))})"
        for _, at, line in lines(self.book, offset, number + 1):
            if not line.endswith(b"\n"):
                break
            offset, number = at + len(line), number + 1
            try:
                row = _flat(number, orjson.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError, UsageError):
                unreadable += 1
                seq, head = str(number - 1), _hash_in(line)
                continue
            seq, head = str(row[1]), _hash_in(line)
            rows.append(row)
            count += 1
            if len(rows) >= _BATCH:
                db.executemany(insert, rows)
                rows.clear()
        db.executemany(insert, rows)
        state = {"offset": offset, "lines": number, "seq": seq, "head": head}
        state["unreadable"] = int(known["unreadable"]) + unreadable
        db.executemany("UPDATE meta SET value = ? WHERE key = ?", [(str(v), k) for k, v in state.items()])
        return count


def spend(
    by: str | None = None,
    since: float | None = None,
    until: float | None = None,
    where: dict[str, str] | None = None,
) -> list[Row]:
    """`Index.spend` of this machine's own ledger."""
    return Index().spend(by, since, until, where)


def _conditions(since: float | None, until: float | None, where: dict[str, str] | None) -> tuple[str, list[Any]]:
    """The SQL after WHERE, and its values."""
    conditions, values = ["parent IS NULL", "kind NOT IN ('healed', 'broken')"], list[Any]()
    for condition, value in (("at >= ?", since), ("at < ?", until)):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    for name, label in (where or {}).items():
        if name not in (*LABELS, "kind"):
            raise UsageError(f"The ledger does not index `{name}`, but {', '.join(('kind', *LABELS))}.")
        conditions.append(f"{name} = ?")
        values.append(label)
    return " AND ".join(conditions), values


def _make(db: sqlite3.Connection, book: Path, lost: str | None) -> None:
    db.execute("DROP TABLE IF EXISTS entry")
    db.execute("DROP TABLE IF EXISTS meta")
    labels = ", ".join(f"{name} TEXT" for name in LABELS)
    amounts = ", ".join(f"{name} REAL, {name}_low REAL, {name}_high REAL, {name}_basis INTEGER" for name in UNITS)
    db.execute(f"CREATE TABLE entry (line INTEGER PRIMARY KEY, seq INTEGER, at REAL, kind TEXT, {labels}, {amounts})")
    db.execute("CREATE INDEX entry_at ON entry (at)")
    db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
    meta = {"schema": _SCHEMA, "book": book.resolve(), "offset": 0, "lines": 0, "seq": -1, "head": "", "unreadable": 0}
    if lost:
        meta["lost"] = lost
    db.executemany("INSERT INTO meta VALUES (?, ?)", [(key, str(value)) for key, value in meta.items()])


def _meta(db: sqlite3.Connection) -> dict[str, str]:
    if len(db.execute("SELECT 1 FROM sqlite_master WHERE name IN ('meta', 'entry')").fetchall()) < 2:
        return {}
    return dict(db.execute("SELECT key, value FROM meta"))


def _flat(line: int, json: dict[str, Any]) -> tuple[Any, ...]:
    """An entry as a row of the table; read straight from its JSON, because there may be many."""
    labels, quantities = json["labels"], json["quantities"]
    row: list[Any] = [line, int(json["seq"]), unix(json["at"]), str(json["kind"])]
    row += [labels.get(name) for name in LABELS]
    for name, unit in UNITS.items():
        quantity = quantities.get(name)
        if quantity is None:
            row += [None, None, None, _UNKNOWN if name in _EXPECTED else None]
            continue
        value = quantity["value"]
        if quantity["unit"] != unit or (value is None) != (quantity["basis"] == "unknown"):
            raise ValueError(name)
        row += [value, quantity.get("low", value), quantity.get("high", value), _RANK[quantity["basis"]]]
    return tuple(row)


def _hash_in(line: bytes) -> str:
    """The hash that a line holds, "" where it holds none. Not checked: see `check`."""
    try:
        return str(orjson.loads(line)["hash"])
    except (ValueError, TypeError, KeyError):
        return ""


def _sums(name: str) -> str:
    """Five columns: the sum, its ends, the weakest basis of what is known, and how many are unknown."""
    basis = f"{name}_basis"
    return (
        f"sum({name}), sum({name}_low), sum({name}_high), max(CASE WHEN {basis} < {_UNKNOWN} THEN {basis} END), "
        f"sum({basis} = {_UNKNOWN})"
    )


def _row(row: tuple[Any, ...]) -> Row:
    key, entries, *columns = row
    totals: dict[str, Quantity] = {}
    known: dict[str, Quantity] = {}
    missing: dict[str, int] = {}
    for i, (name, unit) in enumerate(UNITS.items()):
        value, low, high, basis, lacking = columns[5 * i : 5 * i + 5]
        if basis is None and not lacking:
            continue
        missing[name] = lacking or 0
        if basis is not None:
            how = f"sum of {entries - missing[name]} entries"
            ends = (None, None) if low == high else (min(low, value), max(high, value))
            known[name] = Quantity(value, unit, _BASES[basis], how, *ends)
        totals[name] = (
            known[name] if not missing[name] else unknown(unit, f"unknown for {lacking} of {entries} entries")
        )
    return Row(key, entries, totals, known, missing)
