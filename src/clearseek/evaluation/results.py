"""What an evaluation is: its conditions, its transcripts, its figures with their intervals, and its form on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from clearseek.errors import UserError
from clearseek.evaluation.statistics import Interval, bootstrap_mean, combined, pass_at_k, wilson
from clearseek.ledger.quantity import Quantity, measured
from clearseek.seeds import seed_of
from clearseek.tasks.verifier_faults import faults_of

Finish = Literal["stop", "budget", "length"]
"""`stop`: it ended by itself. `budget`: its thinking was closed for it. `length`: it was cut."""
Membership = Literal["trained", "unseen", "other"]
"""Whether a task is one that the suite's models are trained on (other problems of it), one that they never are, or
one that stands in no suite."""
MEMBERSHIPS: tuple[Membership, ...] = get_args(Membership)
ANSWER_TOKENS = 256
FORM = "clearseek-evaluation/1"


@dataclass(frozen=True)
class Conditions:
    """What was asked of whom, and how: all that decides the answers."""

    model: str
    digest: str | None
    """SHA-256 (hex) of the weights; None where another machine holds them."""
    by: Literal["llama.cpp", "remote", "torch"]
    suite: str | None
    split: str
    n: int
    """Problems a task."""
    seed: int
    samples: int = 1
    temperature: float = 0.0
    thinking: bool = True
    budget: int | None = None
    """Tokens of thinking after which it is closed and the answer asked for; None: it is not closed."""
    max_new: int = ANSWER_TOKENS
    """Tokens that may be written in all."""
    system: str | None = None
    style: str = "native"
    """`native`: the model was taught to think; `prompted`: it is led to it; `unknown`: the remote engine's own."""

    @property
    def arm(self) -> str:
        """A short name of how it was asked: `think`, `think-128` or `no-think`."""
        return ("think" if self.budget is None else f"think-{self.budget}") if self.thinking else "no-think"


@dataclass(frozen=True, slots=True)
class Row:
    """One transcript, as it is kept: a line of JSON."""

    problem: str
    digest: str
    """Of the prompt."""
    task: str
    sample: int
    prompt: str
    thinking: str
    answer: str
    reference: str
    accuracy: float
    why: str
    second: float | None
    finish: Finish
    well_formed: bool
    prompt_tokens: int
    thinking_tokens: int
    tokens: int
    seconds: float
    fault: str = ""
    """What went wrong with the verifier itself."""


@dataclass(frozen=True)
class TaskResult:
    """One task. Shares are of samples; `scores` is the mean accuracy of each problem's samples, by problem id."""

    task: str
    membership: Membership
    n: int
    accuracy: Interval
    interval: Literal["Wilson", "bootstrap"]
    """What its ends are: Wilson's where each problem was right or wrong, else a bootstrap over problems."""
    pass_at: Mapping[int, float]
    """The chance that one of k samples is right, mean over problems; for k = 1, 2, 4, ... up to the samples drawn."""
    loosely: float
    """Right, or an answer that ends in the reference whatever stands before it: what the asked form costs a model that
    was never taught it. Only reported."""
    well_formed: float
    truncated: float
    """Cut, or thinking closed for it."""
    tokens: float
    """Mean tokens of a transcript."""
    thinking_tokens: float
    second: float | None
    """Mean of what the second verifier says, where there is one."""
    scores: Mapping[str, float]
    digests: Mapping[str, str]


@dataclass(frozen=True)
class Evaluation:
    """`means` over the tasks of a membership, each task counting the same. `seconds` is time spent answering."""

    conditions: Conditions
    tasks: tuple[TaskResult, ...]
    means: Mapping[str, Interval]
    tokens: int
    seconds: float
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = field(default=(), compare=False, repr=False)

    @property
    def mean(self) -> Interval:
        """Of the trained tasks; where there are none, of the first membership that there is."""
        return next(self.means[kind] for kind in MEMBERSHIPS if kind in self.means)

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    def of(self, task: str) -> TaskResult:
        return next(one for one in self.tasks if one.task == task)


def summarise(
    conditions: Conditions,
    tasks: Sequence[tuple[str, Membership]],
    rows: Sequence[Row],
    seconds: float,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Every figure of an evaluation, from its rows. Pure: the same rows in the same order give the same figures."""
    by_task: dict[str, list[Row]] = {name: [] for name, _ in tasks}
    for row in rows:
        by_task[row.task].append(row)
    results = tuple(_task_result(name, kind, by_task[name], conditions) for name, kind in tasks)
    means = {}
    for kind in MEMBERSHIPS:
        mine = [result for result in results if result.membership == kind]
        if mine:
            means[str(kind)] = _mean_interval(mine, conditions.seed)
    tokens = sum(row.tokens for row in rows)
    remarks = (*notes, *faults_of((row.task, row.fault, row.why) for row in rows).values())
    return Evaluation(conditions, results, means, tokens, seconds, remarks, tuple(rows))


def _mean_interval(results: Sequence[TaskResult], seed: int) -> Interval:
    """The stratified bootstrap's, but nowhere narrower than what the tasks' own intervals make together. The mean of
    one task is that task: the same answers have one interval, not two side by side."""
    if len(results) == 1:
        return results[0].accuracy
    drawn = bootstrap_mean([list(result.scores.values()) for result in results], seed_of("mean", seed))
    own = combined([result.accuracy for result in results])
    return Interval(drawn.value, min(drawn.low, own.low), max(drawn.high, own.high))


def accuracy_of(scores: Sequence[float], samples: int, seed: int) -> tuple[Interval, Literal["Wilson", "bootstrap"]]:
    """The mean of problems' scores: Wilson's interval where each was asked once and is right or wrong, else a bootstrap
    over problems, whose samples belong together."""
    if samples == 1 and all(score in (0.0, 1.0) for score in scores):
        return wilson(int(sum(scores)), len(scores)), "Wilson"
    return bootstrap_mean([scores], seed), "bootstrap"


def _task_result(name: str, membership: Membership, rows: Sequence[Row], how: Conditions) -> TaskResult:
    samples: dict[str, list[Row]] = {}
    for row in rows:
        samples.setdefault(row.problem, []).append(row)
    scores = {problem: _mean([row.accuracy for row in mine]) for problem, mine in samples.items()}
    right = {problem: sum(row.accuracy >= 1.0 for row in mine) for problem, mine in samples.items()}
    accuracy, interval = accuracy_of(list(scores.values()), how.samples, seed_of("task", name, how.seed))
    powers = sorted({min(how.samples, 1 << power) for power in range(how.samples.bit_length())} | {how.samples})
    seconds = [row.second for row in rows if row.second is not None]
    return TaskResult(
        task=name,
        membership=membership,
        n=len(scores),
        accuracy=accuracy,
        interval=interval,
        pass_at={k: _mean([pass_at_k(how.samples, c, k) for c in right.values()]) for k in powers},
        loosely=_mean([row.accuracy >= 1.0 or _ends_loosely(row) for row in rows]),
        well_formed=_mean([row.well_formed for row in rows]),
        truncated=_mean([row.finish != "stop" for row in rows]),
        tokens=_mean([row.tokens for row in rows]),
        thinking_tokens=_mean([row.thinking_tokens for row in rows]),
        second=_mean(seconds) if seconds else None,
        scores=scores,
        digests={problem: mine[0].digest for problem, mine in samples.items()},
    )


def _ends_loosely(row: Row) -> bool:
    return row.finish != "length" and _ends_in(row.answer, row.reference)


def _ends_in(answer: str, reference: str) -> bool:
    """Whether the answer's last words are the reference, punctuation and emphasis behind it apart."""
    before_it, wanted = answer[-2000:].casefold().rstrip(" \n\t.!*`$\"')]}"), reference.casefold().rstrip(" .")
    before = before_it.removesuffix(wanted)
    return bool(wanted) and before != before_it and not (before[-1:].isalnum() or before[-1:] in tuple("-./"))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def results_of(evaluation: Evaluation) -> dict[str, Quantity]:
    """The figures as a receipt holds them: names of a-z, 0-9 and _, each with n, seed and the kind of its interval."""
    how = evaluation.conditions
    drawn = f"{how.samples} samples at temperature {how.temperature:g}" if how.temperature else "greedy"
    asked = f"{how.split}, n={how.n}, seed {how.seed}, {drawn}, {how.arm}"
    results = {}
    for kind, mean in evaluation.means.items():
        count = sum(result.membership == kind for result in evaluation.tasks)
        name = {"trained": "mean", "unseen": "mean_unseen", "other": "mean_other"}[kind]
        words = f"mean of {count} tasks, {asked}; 95% stratified bootstrap, at least the tasks' own"
        results[name] = measured(mean.value, "", words, mean.low, mean.high)
    for result in evaluation.tasks:
        accuracy = result.accuracy
        words = f"{result.membership} task, {asked}, {result.n} problems; 95% {result.interval}"
        results[_name("accuracy", result.task)] = measured(accuracy.value, "", words, accuracy.low, accuracy.high)
        if how.samples > 1:
            results[_name(f"pass_at_{how.samples}", result.task)] = measured(
                result.pass_at[how.samples], "", f"{asked}; unbiased estimator"
            )
    results["well_formed"] = measured(_mean([task.well_formed for task in evaluation.tasks]), "", f"{asked}; all tasks")
    results["truncated"] = measured(_mean([task.truncated for task in evaluation.tasks]), "", f"{asked}; all tasks")
    results["tokens_per_answer"] = measured(_mean([task.tokens for task in evaluation.tasks]), "token", asked)
    return results


def _name(what: str, task: str) -> str:
    """A name as receipts take it. Long ones keep a few digits of their digest, so that no two become one."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in task.lower())
    whole = f"{what}_{kept}"
    return whole if len(whole) <= 40 else f"{whole[:33]}_{hashlib.sha256(task.encode()).hexdigest()[:6]}"


def as_json(evaluation: Evaluation, name: str | None = None) -> dict[str, Any]:
    """The whole evaluation without its transcripts; in a run's `evaluations/` it is what a receipt reads."""
    return {
        "form": FORM,
        "name": name or f"{evaluation.conditions.model}, {evaluation.conditions.arm}",
        "results": {name: quantity.as_json() for name, quantity in results_of(evaluation).items()},
        "conditions": asdict(evaluation.conditions),
        "tasks": [
            asdict(task) | {"pass_at": {str(k): share for k, share in task.pass_at.items()}}
            for task in evaluation.tasks
        ],
        "means": {kind: mean.as_json() for kind, mean in evaluation.means.items()},
        "tokens": evaluation.tokens,
        "seconds": round(evaluation.seconds, 3),
        "tokens_per_second": round(evaluation.rate, 2),
        "notes": list(evaluation.notes),
    }


def from_json(json: Any, where: str) -> Evaluation:
    """What `as_json` gave. Raises UserError for anything else; `where` names it."""
    try:
        if json["form"] != FORM:
            raise UserError(f"{where} is an evaluation in the form {json['form']!r}, and this version reads {FORM}.")
        conditions = Conditions(**json["conditions"])
        tasks = []
        for task in json["tasks"]:
            values = {field_.name: task[field_.name] for field_ in fields(TaskResult)}
            values["accuracy"] = Interval.from_json(task["accuracy"])
            values["pass_at"] = {int(k): float(share) for k, share in task["pass_at"].items()}
            if task["membership"] not in MEMBERSHIPS or task["scores"].keys() != task["digests"].keys():
                raise ValueError
            tasks.append(TaskResult(**values))
        means = {str(kind): Interval.from_json(mean) for kind, mean in json["means"].items()}
        return Evaluation(conditions, tuple(tasks), means, json["tokens"], json["seconds"], tuple(json["notes"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{where} is no evaluation of `clearseek eval`.") from None
