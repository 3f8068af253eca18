"""Transcripts of an evaluation on disk: a line of JSON each, written as they come, so that nothing is asked twice.

The first line says under which conditions they were made. A last line that was cut short (power, `kill -9`) is dropped
and its problem asked again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from clearseek.errors import UserError
from clearseek.evaluation.results import Conditions, Row

MAX_LINE = 4 << 20


class Transcripts:
    """The file of one evaluation, open for adding. Use it in a `with`."""

    def __init__(self, file: Path, conditions: Conditions, *, afresh: bool = False) -> None:
        self.file, self.conditions = file, conditions
        self.seconds = 0.0
        """Spent on the rows that were found."""
        self._afresh = afresh
        self._found: dict[tuple[str, int], Row] = {}
        self._lock = FileLock(file.with_name(f".{file.name}.lock"), timeout=0)

    def __enter__(self) -> Transcripts:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            if self._afresh:
                self.file.unlink(missing_ok=True)
            whole = self._read()
            self._out = self.file.open("ab")
            self._out.truncate(whole)
        except Timeout:
            raise UserError(f"Another evaluation is writing to {self.file}.") from None
        except OSError as error:
            raise UserError(f"{self.file} cannot be written: {(error.strerror or str(error)).lower()}.") from None
        if whole == 0:
            self._write({"conditions": asdict(self.conditions)})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            os.fsync(self._out.fileno())
            self._out.close()
        finally:
            self._lock.release()

    def take(self, digests: Mapping[tuple[str, int], str]) -> dict[tuple[str, int], Row]:
        """The rows found, if they answer what is asked now. Raises UserError where a problem has changed since."""
        for key, row in self._found.items():
            if digests.get(key) != row.digest:
                raise UserError(
                    f"{self.file} holds an answer to {row.problem}, which is another problem now: "
                    "the tasks have changed since. Evaluate into another folder, or afresh."
                )
        return dict(self._found)

    def add(self, row: Row, seconds: float) -> None:
        """Keep one more. `seconds`: spent until now on all of them together."""
        self._write(asdict(row) | {"at_seconds": round(seconds, 3)})

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._out.write(json.dumps(line, ensure_ascii=False, sort_keys=True).encode() + b"\n")
            self._out.flush()
        except OSError as error:
            raise UserError(
                f"{self.file} cannot be written: {(error.strerror or str(error)).lower()}. What was answered before "
                "is kept; make room and run the same command again."
            ) from None

    def _read(self) -> int:
        """Read what is there; bytes of it that are whole."""
        whole = 0
        if not self.file.exists():
            return 0
        names = {field.name for field in fields(Row)}
        with self.file.open("rb") as lines:
            for number, line in enumerate(lines):
                if not line.endswith(b"\n"):
                    break
                try:
                    values: dict[str, Any] = json.loads(line if len(line) <= MAX_LINE else b"")
                    if number == 0:
                        self._check(values["conditions"])
                    else:
                        self.seconds = max(self.seconds, float(values.pop("at_seconds")))
                        if not names - {"fault"} <= values.keys() <= names:
                            raise ValueError
                        row = Row(**values)
                        self._found[row.problem, row.sample] = row
                except (ValueError, TypeError, KeyError, AttributeError):
                    raise UserError(f"{self.file}, line {number + 1}, is no transcript of an evaluation.") from None
                whole += len(line)
        return whole

    def _check(self, conditions: Mapping[str, Any]) -> None:
        for name, value in asdict(self.conditions).items():
            if conditions.get(name) != value:
                raise UserError(
                    f"{self.file} holds an evaluation made under other conditions: `{name}` was "
                    f"{conditions.get(name)!r} and is {value!r} now. Evaluate into another folder, or afresh."
                )
