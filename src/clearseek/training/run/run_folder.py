"""A run's folder: its notes, its lines, its lock; each written so that a kill at any moment leaves it readable.

RUN/recipe.toml     the resolved recipe          RUN/status.json   where the run is, and its sittings
RUN/run.json        notes for the receipt        RUN/ledger.jsonl  what everything took
RUN/metrics.jsonl   one line a step or test      RUN/samples.jsonl what the model wrote on the way
RUN/checkpoints/    see checkpoint.py            RUN/evaluations/  results, as the receipt wants them
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from clearseek import __version__
from clearseek.errors import UserError
from clearseek.hub.files import write_aside
from clearseek.ledger.book import Book

FORMAT = 1
"""Of the folder as a whole; another number is another ClearSeek's."""
RECIPE, STATUS, NOTES, LEDGER = "recipe.toml", "status.json", "run.json", "ledger.jsonl"
METRICS, SAMPLES, REPORT = "metrics.jsonl", "samples.jsonl", "report.html"


@dataclass(frozen=True)
class Attempt:
    """One attempt, from its start to the end, a signal or a crash. `seconds` is by the wall clock."""

    attempt: str
    began: str
    state: str = "failed"
    """As receipts have it: completed, failed, resumed, stopped."""
    why: str = "ended without a word: killed, or the machine went off"
    seconds: float = 0.0


@dataclass(frozen=True)
class Status:
    """`status.json`."""

    name: str
    fingerprint: str
    version: str = __version__
    format: int = FORMAT
    finished: bool = False
    attempts: tuple[Attempt, ...] = ()
    """Under `sittings` in the file."""

    @property
    def seconds(self) -> float:
        return sum(attempt.seconds for attempt in self.attempts)

    def ended(self, state: str, why: str, seconds: float) -> Status:
        """With the present sitting as it stands now."""
        last = replace(self.attempts[-1], state=state, why=why, seconds=seconds)
        return replace(self, attempts=(*self.attempts[:-1], last))

    def begun(self) -> Status:
        """With one more sitting; those before it, unless they ended the run, were resumed."""
        earlier = tuple(
            replace(attempt, state="resumed") if attempt.state == "stopped" else attempt for attempt in self.attempts
        )  # a failed one stays that, with why
        return replace(self, finished=False, attempts=(*earlier, Attempt(str(len(earlier) + 1), now())))


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `ended` is "completed" or "budget"."""

    folder: Path
    ended: str
    done: int
    steps: int
    seconds: float
    evaluations: Mapping[str, Any]
    published: Mapping[str, Any]
    conclusions: Sequence[str] = ()
    """What the run has to say of itself: steps that changed nothing, better or worse than before."""

    def as_json(self) -> dict[str, Any]:
        return {
            "run": str(self.folder), "ended": self.ended, "steps_done": self.done, "steps_planned": self.steps,
            "seconds": round(self.seconds, 3), "evaluations": dict(self.evaluations), "published": dict(self.published),
            "conclusions": list(self.conclusions),
        }  # fmt: skip


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_status(folder: Path) -> Status | None:
    """None where the folder holds no run. Raises UserError for one of another ClearSeek."""
    path = folder / STATUS
    try:
        data = json.loads(path.read_bytes())
        if data.get("format") != FORMAT or data.get("version") != __version__:
            raise UserError(
                f"The run in {folder} was begun by ClearSeek {data.get('version')} (folder format "
                f"{data.get('format')}); this is {__version__} (format {FORMAT}). Go on with that one, or choose "
                "another --out."
            )
        attempts = tuple(Attempt(**each) for each in data.pop("sittings"))
        return Status(**data, attempts=attempts)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is not what a run writes ({error}); choose another --out.") from None


def write_status(folder: Path, status: Status) -> None:
    content = asdict(status)
    content["sittings"] = content.pop("attempts")  # the last key in the file, as it always was
    write_aside(folder / STATUS, json.dumps(content, indent=1).encode())


def with_ledger_seconds(status: Status, book: Book) -> Status:
    """The sittings with at least the seconds that the ledger holds of them: one that was killed noted fewer."""
    booked: dict[str, float] = {}
    for entry in book.read():
        wall = entry.quantities.get("wall")
        if "parent" not in entry.labels and wall is not None and wall.value is not None:
            name = entry.labels.get("attempt", "")
            booked[name] = booked.get(name, 0.0) + wall.value
    attempts = tuple(
        replace(attempt, seconds=max(attempt.seconds, booked.get(attempt.attempt, 0.0))) for attempt in status.attempts
    )
    return replace(status, attempts=attempts)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder; a process that dies lets it go. Raises UserError where another run holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise UserError(
            f"Another process is training in {folder}; wait for it, or choose another folder with --out."
        ) from None
    try:
        yield
    finally:
        lock.release()


class Lines:
    """A JSONL file that is appended to, and can be cut back to what it was at a checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """On the way to the disk when this returns; `sync` says when it must be there."""
        if not rows:
            return
        text = "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows)
        before = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(text.encode())
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self.path, before)  # a full disk leaves no half of a line
            raise

    def size(self) -> int:
        """Bytes now, safely on the disk."""
        if not self.path.exists():
            return 0
        with self.path.open("ab") as file:
            os.fsync(file.fileno())
            return file.tell()

    def cut(self, size: int) -> None:
        """Back to `size` bytes: what was written after a checkpoint will be written again."""
        if self.path.exists():
            if self.path.stat().st_size < size:
                raise UserError(f"{self.path} is shorter than its checkpoint says; the run cannot be resumed.")
            os.truncate(self.path, size)
        elif size:
            raise UserError(f"{self.path} is gone, and its checkpoint needs it; the run cannot be resumed.")

    def read(self) -> list[dict[str, Any]]:
        """Every whole line."""
        if not self.path.exists():
            return []
        results = []
        for line in self.path.read_bytes().split(b"\n")[:-1]:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                results.append(row)
        return results


@dataclass
class Notes:
    """`run.json`, which the receipt is made from; written again whenever something is added."""

    folder: Path
    told: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Notes:
        try:
            data = json.loads((folder / NOTES).read_bytes())
        except FileNotFoundError:
            data = {}
        except ValueError as error:
            raise UserError(f"{folder / NOTES} is not JSON: {error}.") from None
        return cls(folder, data)

    def remark(self, sentence: str) -> None:
        """One more sentence for the receipt and the card, unless it stands there already."""
        message = str(self.told.get("notes", ""))
        if sentence not in message:
            self.add(notes=f"{message} {sentence}".strip())

    def add(self, **more: Any) -> None:
        self.told |= more
        write_aside(self.folder / NOTES, json.dumps(self.told, indent=1, ensure_ascii=False).encode())


def file_sizes(folder: Path) -> dict[str, int]:
    """How long the files are that grow with the steps: metrics, samples, and data that stages write."""
    return {name: Lines(folder / name).size() for name in (METRICS, SAMPLES)} | {
        path.relative_to(folder).as_posix(): Lines(path).size() for path in _data(folder)
    }


def truncate_lines(folder: Path, sizes: Mapping[str, int]) -> None:
    """What was written after a checkpoint is taken away, because it will be written again."""
    for name in (METRICS, SAMPLES):
        Lines(folder / name).cut(sizes.get(name, 0))
    for path in _data(folder):
        known = sizes.get(path.relative_to(folder).as_posix())
        if known is None:
            path.unlink()
        else:
            Lines(path).cut(known)


def _data(folder: Path) -> list[Path]:
    """Files of data; a teacher's answers stay whatever happens: they were paid for."""
    return [path for path in sorted(folder.glob("data/*.jsonl*")) if not path.name.endswith(".answers.jsonl")]


def no_run(folder: Path) -> str:
    """Why there is nothing to replay, in a sentence."""
    receipt = folder / "receipt.json"
    if not receipt.is_file():
        return f"{folder} holds no run; name a folder that `clearseek train` wrote."
    from clearseek.receipts.verify import glance

    statement = glance(receipt).statement
    count = len(statement["predicate"]["checkpoints"]) if statement else 0
    return (
        f"The run behind {folder.name} cannot be replayed: replaying goes from one checkpoint to the next, and the "
        f"{count} checkpoints that its receipt names by their digests were not kept; `clearseek receipt verify` checks "
        "the rest."
    )
