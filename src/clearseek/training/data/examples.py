"""Where supervised examples come from: worked solutions of tasks, files of traces, and how a step draws its share.

Which examples a step gets follows from its number and a seed, and from nothing that happened before it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from clearseek.errors import UserError
from clearseek.seeds import seed_of
from clearseek.tasks.json_lines import check_untagged
from clearseek.tasks.task import Task
from clearseek.training.data.chat_format import ChatFormat
from clearseek.training.data.groups import Group
from clearseek.training.data.problems import draw_up_to
from clearseek.training.data.sources import IDENTITY
from clearseek.training.data.traces import Trace, read_traces
from clearseek.training.data.user_files import IDENTITY_FILE, is_file

MAX_TRACES = 500_000
GOLDEN = (5**0.5 - 1) / 2
ATTEMPTS = 100
"""Draws in which a task may come to as many accepted solutions as a step needs: one whose `solve` knows every tenth
kind of problem still does."""

AT_A_GLANCE = ("It is {}.", "At a glance: {}")
"""A thought that only names the answer: what reinforcement learning is to find the worse way (docs/lab/two-ways.md)."""


@dataclass(frozen=True, slots=True)
class Example:
    """One example as ids, and where it is from."""

    group: Group
    source: str
    task: str
    text: str
    """The prompt, for samples that people read."""


def load_source(name: str, run: Path) -> list[Trace]:
    """The traces of a data file of this run, of a file by its path, or those that tell a model who it is.

    Raises UserError where there is none, it is empty, or it holds too many.
    """
    if name == IDENTITY:
        with resources.as_file(resources.files("clearseek") / IDENTITY_FILE) as file:
            return list(read_traces(file))
    file = Path(name) if is_file(name) else run / "data" / f"{name}.jsonl"
    if not file.is_file() and is_file(name):
        raise UserError(f"There is no file of worked examples at {file}.")
    if not file.is_file():
        made = sorted(path.stem for path in (run / "data").glob("*.jsonl"))
        message = f" This run has {', '.join(made)}." if made else ""
        raise UserError(f"There are no worked examples in {file}; a stage before this one has to write them.{message}")
    traces: list[Trace] = []
    for trace in read_traces(file):
        traces.append(trace)
        if len(traces) > MAX_TRACES:
            raise UserError(f"{file} holds more than {MAX_TRACES} worked examples; cut it into several.")
    if not traces:
        raise UserError(f"{file} holds no worked example.")
    return traces


def counts_of(step: int, examples: int, shares: Sequence[float]) -> list[tuple[int, int]]:
    """For each source, where this step begins in its endless sequence and how many it takes: (start, count).

    Example number k of the run goes to the source in whose share of [0, 1) the fractional part of k x golden ratio
    lies: evenly spread at every length (Weyl's sequence), and known without looking at the steps before.
    """
    edges = np.cumsum(shares)[:-1] / sum(shares)
    places = np.arange((step + 1) * examples) * GOLDEN % 1.0
    sources = np.searchsorted(edges, places, side="right")
    before = np.bincount(sources[: step * examples], minlength=len(shares))
    now = np.bincount(sources[step * examples :], minlength=len(shares))
    return [(int(start), int(count)) for start, count in zip(before, now, strict=True)]


def from_file(traces: Sequence[Trace], start: int, count: int, *seeds: int | str) -> list[Trace]:
    """`count` traces from place `start` of an endless sequence: the file again and again, each time in a new order."""
    results: list[Trace] = []
    epoch, order = -1, []
    for place in range(start, start + count):
        if place // len(traces) != epoch:
            epoch = place // len(traces)
            order = list(range(len(traces)))
            random.Random(seed_of(*seeds, "epoch", epoch)).shuffle(order)
        results.append(traces[order[place % len(traces)]])
    return results


def check_solved(task: Task) -> None:
    """Raises UserError for a task that nobody wrote solutions for."""
    if task.solve is None:
        raise UserError(
            f"The task {task.name} has no worked solutions to learn from; leave it out of this run, or use `reject` or "
            "`distill` to get some."
        )


def from_tasks(
    tasks: Sequence[Task],
    weights: Sequence[float],
    count: int,
    avoid: frozenset[str],
    *seeds: int | str,
    glances: bool = False,
) -> list[Trace]:
    """`count` worked solutions of problems drawn from the tasks' train split. Each was accepted by its task's verifier;
    those that were not are left out, and others drawn. With `glances` their thought only names the answer. Raises
    UserError for a task whose solutions keep failing."""
    rng = random.Random(seed_of(*seeds, "tasks"))
    wanted: dict[int, int] = {}
    for number in rng.choices(range(len(tasks)), weights=list(weights), k=count):
        wanted[number] = wanted.get(number, 0) + 1
    results: list[Trace] = []
    for number, need in sorted(wanted.items()):
        task = tasks[number]
        check_solved(task)
        assert task.solve is not None
        for attempt in range(ATTEMPTS):
            problems = draw_up_to(task, need, seed_of(*seeds, task.name, attempt), avoid)
            for problem in itertools.islice(itertools.cycle(problems), need):
                words = random.Random(seed_of(*seeds, problem.id))
                try:
                    solution = task.solve(problem, words)
                except ValueError:
                    continue  # a problem of a kind its program was not written for
                if task.check(problem, solution.answer).accuracy >= 1.0:
                    thought, source = solution.thinking, "solution"
                    if glances:
                        thought, source = words.choice(AT_A_GLANCE).format(solution.answer), "glance"
                    results.append(Trace(problem.prompt, thought, solution.answer, task.name, problem.id, source))
                    need -= 1
            if need <= 0:
                break
        else:
            raise UserError(f"The verifier of {task.name} rejects most of its own worked solutions.")
    rng.shuffle(results)
    return results


def end_markers(chat: ChatFormat) -> tuple[str, ...]:
    """The tokens that end a turn, as text."""
    return tuple(text for end in chat.stop_ids if (text := chat.tokenizer.decode([end], keep_control=True)).strip())


def encode(trace: Trace, chat: ChatFormat, source: str, *, thinking: bool = True) -> Example:
    """A trace as ids; with `thinking` off, its answer alone, as a model that is told not to think should give it.

    Raises UserError for one that holds a tag of the thinking's, or a token that ends a turn of this model's.
    """
    try:
        check_untagged(trace.thinking, trace.answer, end_markers(chat))
    except ValueError as error:
        raise UserError(f"The worked example {trace.prompt[:80]!r} from {source} cannot be used: {error}.") from None
    thought = trace.thinking if thinking else None
    prompt = tuple(chat.prompt(trace.prompt, thinking=thought is not None))
    completion = tuple(chat.completion(thought, trace.answer, cut=trace.cut))
    return Example(Group(prompt, (completion,)), source, trace.task, trace.prompt)
