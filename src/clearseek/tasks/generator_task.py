"""A task whose problems a generator of reasoning-gym makes."""

from __future__ import annotations

from typing import Any

from clearseek.errors import UserError
from clearseek.suggest import suggest
from clearseek.tasks import generators
from clearseek.tasks.child_process import Child, ChildDied, ChildTooSlow
from clearseek.tasks.second_verifiers import SECONDS, second_verdict
from clearseek.tasks.solutions import solver_of
from clearseek.tasks.task import SPLITS, Problem, Score, Split, Task
from clearseek.tasks.task_spec import TaskSpec
from clearseek.tasks.verifiers import score, verdict, verifier
from clearseek.tasks.verifiers.comparisons import exact
from clearseek.tasks.verifiers.generator_scorer import generator_scorer

SPAN = 1 << 29
"""Seeds of each split: train begins at 0, dev at SPAN, test at 2 * SPAN."""
INDICES = 1 << 26
"""Problems that can be asked of a split."""
_TRIES = 4
"""A reference answer that the second verifier refuses is not given to anybody: the problem is drawn again, as far
away in the split's own seeds."""
MAKE_SECONDS = 60.0


def seed_range(spec_seed: int, split: str) -> tuple[int, int]:
    """`(first, beyond the last)` seed of a split's problems; `spec_seed` moves within the split, never out of it."""
    first = SPLITS.index(split) * SPAN + spec_seed * 131 % (SPAN // 2 // generators.CHUNK) * generators.CHUNK
    return first, first + INDICES * _TRIES


def generated_task(spec: TaskSpec) -> Task:
    """Raises UserError for an unknown generator or setting; problems are made when they are asked for."""
    name = spec.name or spec.generator
    config = dict(spec.config)
    generators.checked_config(spec.generator, config)
    if spec.second and spec.second not in SECONDS:
        raise UserError(f"There is no second verifier `{spec.second}`; {suggest(spec.second, SECONDS)}")
    second = SECONDS[spec.second] if spec.second else None
    chunks = generators.Chunks(spec.generator, config)
    child = Child(["-m", "clearseek.tasks.worker", "generator"])
    own = generator_scorer(spec.generator, config, spec.seconds)
    checks = verifier(spec.verifier, spec.interpreter) if spec.verifier and spec.verifier != "generator" else None
    options = spec.options

    def item(seed: int) -> dict[str, Any]:
        if spec.generator not in generators.HASH_DEPENDENT:
            return generators.plain_item(spec.generator, chunks.item(seed)[1])
        try:
            reply = child.ask({"do": "make", "generator": spec.generator, "config": config, "seed": seed}, MAKE_SECONDS)
        except (ChildTooSlow, ChildDied) as error:
            raise UserError(f"The generator {spec.generator} failed: {error}.") from None
        if "error" in reply:
            raise UserError(f"The generator {spec.generator} failed: {reply['error']}.")
        return reply

    def made(split: Split, index: int, seed: int) -> Problem:
        found = item(seed)
        data = {**found["data"], "seed": seed}
        prompt = generators.rendered(spec.prompt, data, name) if spec.prompt else found["prompt"]
        if spec.cut and not spec.prompt:
            prompt = prompt.partition(spec.cut)[0].rstrip()
        if spec.suffix:
            prompt = f"{prompt}\n{spec.suffix}"
        answer = generators.rendered(spec.answer, data, name) if spec.answer else found["answer"]
        return Problem(name, split, index, prompt, answer, data)

    def make(split: Split, index: int) -> Problem:
        if not 0 <= index < INDICES:
            raise UserError(f"The problems of {name} are numbered from 0 to {INDICES - 1}.")
        first, _ = seed_range(spec.seed, split)
        for attempt in range(_TRIES):
            problem = made(split, index, first + index + attempt * INDICES)
            if second is None or second_verdict(second, problem, problem.answer):
                return problem
        raise UserError(
            f"The second verifier `{spec.second}` refuses the reference answers of {name}: "
            f"{problem.answer!r} to {problem.prompt!r}."
        )

    def check(problem: Problem, answer: str) -> Score:
        given = {**problem.data, **options, "prompt": problem.prompt}
        if checks is not None:
            found = verdict(checks, problem.answer, answer, given)
        elif generators.strict_answer(problem.answer):
            found = exact(problem.answer, answer, {"ignore_case": True})
        else:
            found = own(problem.answer, answer, given)
        return score(found, second_verdict(second, problem, answer))

    card = {
        "generator": f"reasoning-gym {spec.generator}",
        "version": generators.version(),
        "config": config,
        "license": spec.license or generators.LICENSE,
        "url": generators.URL,
        "seeds": {split: list(seed_range(spec.seed, split)) for split in SPLITS},
        "reworded": bool(spec.prompt or spec.cut or spec.suffix or spec.answer),
        "wording": {key: getattr(spec, key) for key in ("prompt", "cut", "suffix", "answer") if getattr(spec, key)},
        "verifier": spec.verifier or "generator",
        "second": spec.second or None,
        "description": f"Problems of reasoning-gym's generator {spec.generator}, with answers a program can check.",
    }
    solve = None if _custom_answer(spec) else solver_of(spec.generator)
    return Task(name, make, check, card, solve)


def _custom_answer(spec: TaskSpec) -> bool:
    """Whether a recipe's own template makes another answer than the shipped worked solutions write."""
    from clearseek.tasks.suites import shipped_suites

    suites = shipped_suites().values()
    shipped = {one.generator: one for suite in suites for one in (*suite.trained, *suite.unseen)}
    ours = shipped.get(spec.generator)
    return ours is None or (ours.prompt, ours.answer, ours.verifier) != (spec.prompt, spec.answer, spec.verifier)
