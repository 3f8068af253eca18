"""What `clearseek eval` does: who answers, what is asked, where it is kept, how it is told."""

from __future__ import annotations

import dataclasses
import hashlib
import json as jsonlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clearseek.cli.evaluated_model import EvaluatedModel, needs_torch, open_ledger_sink, resolve, weights_of
from clearseek.errors import UsageError, UserError
from clearseek.evaluation.comparison import Comparison, compare, comparison_json
from clearseek.evaluation.results import Conditions, Evaluation, Membership, as_json, from_json
from clearseek.evaluation.results_page import results_page
from clearseek.evaluation.runner import Backend, QuerySet, contamination_notes, draw_queries, evaluate, held_out_by
from clearseek.evaluation.transcripts import Transcripts
from clearseek.hub.files import disk_errors_told, write_aside
from clearseek.settings import home, load_settings

if TYPE_CHECKING:
    from clearseek.tasks.task import Task
    from clearseek.tasks.task_spec import TaskSpec

THINKING_TOKENS = 512
"""After which thinking is closed where nobody said otherwise: a small model that has not found its answer by then goes
round in circles, and thousands of them take hours. Chatting allows more."""
MAX_JSON = 64 << 20
OWN = (".py", ".jsonl")
"""How the files of one's own tasks end."""


@dataclass(frozen=True)
class EvalOptions:
    """The command line."""

    model: str
    suite: str = "r1"
    tasks: tuple[str, ...] = ()
    split: str = "test"
    n: int = 200
    seed: int = 0
    samples: int = 1
    temperature: float = 0.0
    thinking: Literal["on", "off", "both"] | str = "on"
    budgets: tuple[int, ...] = ()
    max_answer: int = 256
    system: str | None = None
    engine_url: str | None = None
    at_once: int | None = None
    out: Path | None = None
    again: bool = False
    compare: Path | None = None
    json: bool = False


def run(wanted: EvalOptions) -> None:
    """Evaluate, keep, tell."""
    other = None if wanted.compare is None else read_evaluation(wanted.compare)
    if wanted.model.endswith(".json") and Path(wanted.model).is_file():
        if other is None:
            raise UsageError("An evaluation made before is compared with another: add --compare OTHER.json.")
        evaluation = read_evaluation(Path(wanted.model))
        _conclude(wanted, [evaluation], compare(other, evaluation), wanted.out)
        return
    settings = load_settings(engine_url=wanted.engine_url)
    members = tasks_of(wanted.suite, wanted.tasks)
    who = resolve(wanted.model, settings, url=wanted.engine_url, at_once=wanted.at_once)
    asked = draw_queries(members, wanted.split, wanted.n, wanted.seed)
    held: frozenset[str] = frozenset().union(*(held_out_by(run) for run in _runs(wanted.model)))
    asked = dataclasses.replace(asked, notes=(*asked.notes, *contamination_notes(asked, wanted.split, held)))
    arms = conditions_of(wanted, who)
    folder = wanted.out or home() / "evaluations" / _folder_name(who, arms, asked)
    answerer: Backend | None = None
    evaluations = []
    for how in arms:
        with Transcripts(folder / f"{how.arm}.jsonl", how, afresh=wanted.again) as kept:
            lazily = _Lazily(who.open) if answerer is None else answerer
            with _watched(how.arm, folder) as progress:
                evaluations.append(evaluate(lazily, asked, how, kept=kept, progress=progress))
            answerer = lazily
        with disk_errors_told("Keeping the evaluation", folder):
            write_aside(folder / f"{how.arm}.json", _pretty(as_json(evaluations[-1])))
    _conclude(wanted, evaluations, None if other is None else compare(other, evaluations[0]), folder)


def _runs(model: str) -> list[Path]:
    """The folder of the run that a model is from, where it is named by it: a run's name, or a folder or file in one."""
    places = [Path(model), *Path(model).absolute().parents[:2], home() / "runs" / Path(model).name]
    return [place for place in places if (place / "recipe.toml").is_file()]


def _conclude(
    wanted: EvalOptions, evaluations: list[Evaluation], comparison: Comparison | None, folder: Path | None
) -> None:
    if folder is not None:
        with disk_errors_told("Keeping the evaluation", folder):
            folder.mkdir(parents=True, exist_ok=True)
            write_aside(folder / "report.html", results_page(evaluations, comparison).encode())
    _tell(wanted, evaluations, comparison, folder)


class _Lazily:
    """An answerer that is opened when the first answer is asked for: what was kept needs none."""

    def __init__(self, make: Callable[[], Backend]) -> None:
        self._make, self._made = make, None  # type: tuple[Callable[[], Backend], Backend | None]

    def answer(self, *args: Any) -> None:
        if self._made is None:
            self._made = self._make()
        self._made.answer(*args)


def tasks_of(suite: str, only: tuple[str, ...]) -> list[tuple[Task, Membership]]:
    """The suite's tasks, or those named: of the suite, of another, or a file of one's own. Raises UserError."""
    from clearseek.tasks.load import load_suite, load_task

    if only and all(Path(name).suffix in OWN for name in only):
        return [(load_task(_spec_of(name)), "other") for name in dict.fromkeys(only)]
    whole = load_suite(suite)
    members: dict[str, tuple[Task, Membership]] = {task.name: (task, "trained") for task in whole.trained}
    members |= {task.name: (task, "unseen") for task in whole.unseen}
    if not only:
        return list(members.values())
    return [members[name] if name in members else (load_task(_spec_of(name)), "other") for name in dict.fromkeys(only)]


def _spec_of(name: str) -> TaskSpec | str:
    """A shipped task by its name, or a file of your own with its verifier."""
    from clearseek.tasks.task_spec import TaskSpec

    path = Path(name)
    if path.suffix == ".py":
        return TaskSpec(name=path.stem, python=name)
    return TaskSpec(name=path.stem, jsonl=name) if path.suffix == ".jsonl" else name


def conditions_of(wanted: EvalOptions, who: EvaluatedModel) -> list[Conditions]:
    """The arms: a budget each with thinking on, and one without. The first is the one that is meant."""
    budgets: list[int | None] = []
    if wanted.thinking != "off":
        default = _budget_of(who)
        # the longest first: with several, that is the one that is meant
        budgets = sorted(wanted.budgets, reverse=True) if wanted.budgets else [default]  # type: ignore[assignment]
    elif wanted.budgets:
        raise UsageError("There is nothing to budget with --thinking off.")
    if wanted.budgets and who.by == "remote":
        raise UsageError("A remote engine closes its thinking as it likes: --budget is for models of this machine.")
    base = Conditions(
        model=who.name,
        digest=who.digest,
        by=who.by,
        suite=None if wanted.tasks and all(Path(name).suffix in OWN for name in wanted.tasks) else wanted.suite,
        split=wanted.split,
        n=wanted.n,
        seed=wanted.seed,
        samples=wanted.samples,
        temperature=wanted.temperature,
        system=wanted.system,
        style=who.style,
    )
    arms = []
    for budget in budgets:
        room = wanted.max_answer + (THINKING_TOKENS if budget is None else budget)
        # the engine keeps a quarter of what may be written for the answer
        room = max(room, -(-4 * (budget or 0) // 3))
        arms.append(dataclasses.replace(base, thinking=True, budget=budget, max_new=room))
    if wanted.thinking != "on":
        arms.append(dataclasses.replace(base, thinking=False, max_new=wanted.max_answer))
    return arms


def _budget_of(who: EvaluatedModel) -> int | None:
    if who.by == "remote":
        return None  # the server closes thinking as it likes
    if who.style == "prompted":
        from clearseek.inference.style import PROMPTED

        return PROMPTED.budgets["high"]
    return THINKING_TOKENS


def _folder_name(who: EvaluatedModel, arms: list[Conditions], asked: QuerySet) -> str:
    """Says who, and differs wherever anything differs that decides the answers."""
    conditions = [dataclasses.asdict(how) for how in arms]
    tasks = [task.name for task, _ in asked.tasks]
    digest = hashlib.sha256(jsonlib.dumps([conditions, tasks], sort_keys=True).encode()).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9._-]", "-", who.name).strip(".-")[:60]
    return f"{name}-{arms[0].split}-n{arms[0].n}-s{arms[0].seed}-{digest}"


@contextmanager
def _watched(arm: str, folder: Path) -> Iterator[Callable[[int, int, int], None]]:
    """A bar on stderr where somebody sees it; what is kept is told when it is interrupted."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    state = (0, 0)
    with Progress(
        *columns, TextColumn("{task.fields[tokens]:,} tokens"), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(arm, total=None, tokens=0)

        def progress(done: int, total: int, tokens: int) -> None:
            nonlocal state
            state = (done, total)
            bar.update(task, completed=done, total=total, tokens=tokens)

        try:
            yield progress
        except KeyboardInterrupt:
            bar.stop()
            done, total = state
            print(
                f"Stopped; {done} of {total} transcripts are kept in {folder}. The same command goes on from there.",
                file=sys.stderr,
            )
            raise


def read_evaluation(path: Path) -> Evaluation:
    """An evaluation on disk. Raises UserError for what is none."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_JSON + 1)
        if len(raw) > MAX_JSON:
            raise UserError(f"{path} is too large for an evaluation.")
        return from_json(jsonlib.loads(raw), str(path))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is no evaluation of `clearseek eval`.") from None


def _pretty(document: Any) -> bytes:
    return jsonlib.dumps(document, indent=1, ensure_ascii=False, sort_keys=False).encode() + b"\n"


def _tell(
    wanted: EvalOptions, evaluations: list[Evaluation], comparison: Comparison | None, folder: Path | None
) -> None:
    if wanted.json:
        document = {
            "evaluations": [as_json(evaluation) for evaluation in evaluations],
            "comparison": None if comparison is None else comparison_json(comparison),
            "folder": None if folder is None else str(folder),
        }
        print(jsonlib.dumps(document, ensure_ascii=False))
        return
    from clearseek.cli import eval_text

    eval_text.show(evaluations, comparison, folder)


def chat(model: str, base: str, *, seed: int, out: Path | None, json: bool) -> None:
    """Everyday chat of `model` next to `base`'s; needs torch."""
    checking = needs_torch("clearseek.training.publish.chat_check")
    from clearseek.ledger.meter import Meter

    new, old = (weights_of(one) for one in (model, base))
    names = Path(base).name, Path(model).name
    folder = out or home() / "evaluations" / f"chat-{names[1]}-against-{names[0]}-s{seed}"
    books = open_ledger_sink(load_settings())
    report = checking.check_files(
        old,
        new,
        folder,
        names=names,
        seed=seed,
        tell=lambda line: print(line, file=sys.stderr),
        meter=Meter(books.sink, machine=books.rates),
    )
    if json:
        print(jsonlib.dumps(report, ensure_ascii=False))
        return
    from clearseek.cli import eval_text

    eval_text.show_chat(report, folder)
