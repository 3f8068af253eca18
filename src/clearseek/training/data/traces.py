"""Worked examples on disk: what supervised stages learn from, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from clearseek.errors import UserError
from clearseek.tasks.json_lines import check_untagged, read_object

MAX_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Trace:
    """One exchange. `thinking` None: answered without (general chat, thinking off)."""

    prompt: str
    thinking: str | None
    answer: str
    task: str = ""
    problem: str = ""
    """Its id, where it is a task's problem."""
    source: str = ""
    """Who wrote it: `solution`, `reject:STAGE`, or the name of a model."""
    cut: bool = False
    """Whether the answer was cut off at a limit. Then nobody said that it ends there, and no end is learned."""


def write_traces(file: Path, traces: Iterable[Trace]) -> int:
    """Write them aside and put them in place at once; how many there were."""
    from clearseek.hub.files import write_aside

    lines = [json.dumps(asdict(trace), ensure_ascii=False, sort_keys=True) + "\n" for trace in traces]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_aside(file, "".join(lines).encode())
    return len(lines)


def read_traces(file: Path) -> Iterator[Trace]:
    """In the order of the file; `thinking` may be left out. UserError names the line that is no trace."""
    names = set(Trace.__dataclass_fields__)
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                if len(line) > MAX_LINE:
                    raise ValueError("longer than 1 MiB")
                values = read_object(line)
                for name in values:
                    if name not in names:
                        raise ValueError(f"it has a key `{name}`, where `prompt`, `thinking` and `answer` are known")
                for name in ("prompt", "answer"):
                    if name not in values:
                        raise ValueError(f"it has no `{name}`")
                trace = Trace(**{"thinking": None, **values})
                thinking = trace.thinking
                if not isinstance(trace.prompt, str) or not isinstance(trace.answer, str):
                    raise ValueError("`prompt` and `answer` are texts")
                if thinking is not None and not isinstance(thinking, str):
                    raise ValueError("`thinking` is a text or null")
                if not isinstance(trace.cut, bool):
                    raise ValueError("`cut` is true or false")
                check_untagged(thinking, trace.answer)
            except ValueError as error:
                raise UserError(f"{file}, line {number}, is no worked example: {str(error).rstrip('.')}.") from None
            yield trace
