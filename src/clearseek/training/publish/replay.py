"""A run done again in parts: from one kept checkpoint to the next, and the weights compared.

With the same arithmetic (`determinism.py`: processor, libraries, compiler, threads, types, code) every bit must be the
same, and where it is not, the run is not what it says. Elsewhere sums are rounded in another order, so what is compared
is the change of the weights over the segment: within TOLERANCE of its length it agrees. Beyond that nothing is known: a
rollout of which one token falls otherwise goes on otherwise, and no run is called false because of that.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clearseek.errors import CheckFailed, UserError
from clearseek.hub.files import hash_file
from clearseek.ledger.meter import Meter
from clearseek.seeds import seed_of
from clearseek.training.recipe.parsing import read_recipe
from clearseek.training.recipe.schema import Recipe
from clearseek.training.run import checkpoint, run_folder
from clearseek.training.run.context import RunContext, first_state, open_context, starting_state
from clearseek.training.run.determinism import arithmetic
from clearseek.training.run.run_folder import Lines
from clearseek.training.stages.open_stage import open_stage

TOLERANCE = 0.1
"""Elsewhere: distance of the two changes of the weights, as a share of the original one's length."""


@dataclass(frozen=True)
class Segment:
    """Steps between two kept checkpoints, all of one stage."""

    start: int
    end: int
    stage: str


@dataclass(frozen=True)
class SegmentResult:
    """What came of one. `apart` is the distance of the changes, as a share; `metrics` whether loss and others agree."""

    segment: Segment
    same_bits: bool
    apart: float
    metrics: bool
    data: bool
    seconds: float
    why: str = ""


@dataclass(frozen=True)
class Replay:
    """`differs` are parts of the arithmetic that are not the run's, `unknown` those that the run did not note."""

    run: str
    differs: tuple[str, ...]
    unknown: tuple[str, ...]
    possible: int
    results: tuple[SegmentResult, ...]

    @property
    def same_arithmetic(self) -> bool:
        return not self.differs and not self.unknown

    @property
    def ok(self) -> bool:
        return not self.refuted and not self.open_ones

    @property
    def refuted(self) -> list[SegmentResult]:
        """Segments that cannot have been, because the same arithmetic gives other bits."""
        return [result for result in self.results if self.same_arithmetic and not (result.same_bits and result.data)]

    @property
    def open_ones(self) -> list[SegmentResult]:
        """Segments of which this says nothing: on other arithmetic they came out further apart than TOLERANCE."""
        apart = [result for result in self.results if not result.same_bits and not result.apart <= TOLERANCE]
        return [] if self.same_arithmetic else apart

    def words(self) -> str:
        """How the two arithmetics compare, in a sentence; empty where they are the same."""
        messages = []
        if self.differs:
            messages.append(f"Not the same arithmetic, so bits may differ: {_listed(self.differs)}.")
        if self.unknown:
            messages.append(
                f"The run did not note its {_listed(self.unknown)}, so it is unknown whether bits must be the same."
            )
        return " ".join(messages)

    def as_json(self) -> dict[str, Any]:
        tolerance = None if self.same_arithmetic else TOLERANCE
        more = {"same_arithmetic": self.same_arithmetic, "inconclusive": len(self.open_ones)}
        return {"ok": self.ok, "tolerance": tolerance, **more, **asdict(self)}


def replay(folder: Path, segments: int, seed: int, tell: Callable[[str], None]) -> Replay:
    """Replay so many segments, drawn by the seed. Raises UserError where the run cannot be replayed at all, and
    CheckFailed where a checkpoint is not the one that the receipt names."""
    if run_folder.read_status(folder) is None:
        raise UserError(run_folder.no_run(folder))
    recipe = read_recipe(folder / run_folder.RECIPE)
    value = segments_of(folder, recipe)
    if not value:
        raise UserError(
            f'{folder} has no two checkpoints of one stage beside each other; a recipe with `keep = "all"` under '
            "[checkpoints] keeps them."
        )
    drawn = sorted(
        random.Random(seed_of(seed, "replay")).sample(value, min(segments, len(value))), key=lambda one: one.start
    )
    for segment in drawn:
        check_receipt(folder, segment)
    with tempfile.TemporaryDirectory(prefix="clearseek-replay-") as place:
        context = open_context(recipe, Path(place), Meter(lambda draft: None, rapl=False, gpus=False), tell)
        differs, unknown = arithmetic_differences(arithmetic(context.stage_context.learner), noted(folder, drawn))
        results = []
        for segment in drawn:
            result = one_segment(folder, Path(place), recipe, context, segment)
            results.append(result)
            message = "the same bits" if result.same_bits else f"weights apart by {result.apart:.3g} of their change"
            tell(f"Steps {segment.start} to {segment.end} ({segment.stage}): {message}, {result.seconds:.0f} s.")
    return Replay(recipe.name, differs, unknown, len(value), tuple(results))


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(key.replace("_", " ") for key in keys)


def noted(folder: Path, segments: Sequence[Segment]) -> list[Mapping[str, Any]]:
    """The arithmetic that was noted at every end of these segments: a run may go on elsewhere than it began."""
    numbers = sorted({number for segment in segments for number in (segment.start, segment.end)})
    files = [folder / "checkpoints" / f"step-{number:06d}" / "position.json" for number in numbers]
    return [json.loads(file.read_bytes()).get("noted", {}).get("arithmetic", {}) for file in files]


def arithmetic_differences(
    here: Mapping[str, Any], there: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which parts of the arithmetic here are others than any that was noted, and which were not noted."""
    differs = tuple(key for key in here if any(key in one and one[key] != here[key] for one in there))
    return differs, tuple(key for key in here if key not in differs and any(key not in one for one in there))


def segments_of(folder: Path, recipe: Recipe) -> list[Segment]:
    """Every pair of kept checkpoints beside each other, with steps of one stage between them."""
    root = folder / "checkpoints"
    numbers = checkpoint.numbers(root)
    at = {number: json.loads((root / f"step-{number:06d}" / "position.json").read_bytes()) for number in numbers}
    segments = []
    for start, end in itertools.pairwise(numbers):
        one, other = at[start], at[end]
        whole = other["stage"] == one["stage"] or (other["stage"] == one["stage"] + 1 and other["step"] == 0)
        if whole and one["stage"] < len(recipe.stages):
            segments.append(Segment(start, end, recipe.stages[one["stage"]].name))
    return segments


def check_receipt(folder: Path, segment: Segment) -> None:
    """The checkpoints at both ends are those of the receipt, where there is one. Raises CheckFailed."""
    import base64

    path = folder / "receipt.json"
    if not path.exists():
        return
    try:
        statement = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
        listed = {file["name"]: file["digest"]["sha256"] for one in statement["predicate"]["checkpoints"]
                  for file in one["files"]}  # fmt: skip
    except (ValueError, KeyError, TypeError):
        raise CheckFailed(f"{path} is not a receipt that can be read.") from None
    for number in (segment.start, segment.end):
        for file in sorted((folder / "checkpoints" / f"step-{number:06d}").iterdir()):
            name = file.relative_to(folder).as_posix()
            if listed.get(name) != hash_file(file):
                raise CheckFailed(f"{name} is not the file that the receipt names.")


def one_segment(folder: Path, place: Path, recipe: Recipe, context: RunContext, segment: Segment) -> SegmentResult:
    """From one checkpoint to the next, in a folder of its own."""
    began = time.perf_counter()
    root = folder / "checkpoints"
    start = checkpoint.load(root / f"step-{segment.start:06d}")
    end = checkpoint.load(root / f"step-{segment.end:06d}")
    work = place / f"{segment.start}-{segment.end}"
    shutil.copytree(folder / "data", work / "data") if (folder / "data").is_dir() else work.mkdir()
    (work / "checkpoints").mkdir()
    (work / "checkpoints" / "step-000000").symlink_to((root / "step-000000").resolve())
    for name, size in start.position.sizes.items():
        if name.startswith("data/"):
            Lines(work / name).cut(size)
    plan = recipe.stages[start.position.stage]
    stage_context = replace(context.stage_context, folder=work, first_state=partial(first_state, work))
    stage_context.learner.restore(start.learner)
    if start.position.step == 0:
        stage_context.learner.restore(starting_state(plan, stage_context))
    stage = open_stage(plan, stage_context)
    if start.position.step or start.stage.values or start.stage.tensors:
        stage.restore(start.stage)
    fields = {row["done"]: row["numbers"] for row in Lines(folder / run_folder.METRICS).read() if row["kind"] == "step"}
    agree = True
    for done in range(segment.start, segment.end):
        report = stage.step(start.position.step + done - segment.start)
        numbers = fields.get(done + 1, {})
        agree &= all(float(report.numbers.get(name, float("nan"))) == value for name, value in numbers.items())
    state = stage_context.learner.state()
    data = all(
        _prefix(work / name, size) == _prefix(folder / name, size)
        for name, size in end.position.sizes.items()
        if name.startswith("data/")
    )
    return SegmentResult(
        segment, same_bits(state, end.learner), weight_distance(start.learner, state, end.learner), agree, data,
        time.perf_counter() - began,
    )  # fmt: skip


def same_bits(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Names, types, shapes and every byte."""
    return one.keys() == other.keys() and all(
        value.dtype == other[name].dtype
        and value.shape == other[name].shape
        and bool(torch.equal(_bits(value), _bits(other[name])))
        for name, value in one.items()
    )


def _bits(tensor: Tensor) -> Tensor:
    """As bytes: NaN is equal to itself, and 0 is not -0."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)


def weight_distance(start: Mapping[str, Tensor], one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """|change of one - change of other| / |change of other|, over all weights that learn; 0 where nothing moved."""
    distance = moved = 0.0
    for name, value in other.items():
        if name.startswith("weights/"):
            distance += float((one[name].detach().cpu().double() - value.double()).square().sum())
            moved += float((value.double() - start[name].double()).square().sum())
    if moved == 0.0:
        return 0.0 if distance == 0.0 else float("inf")
    return float((distance / moved) ** 0.5)


def _prefix(path: Path, size: int) -> bytes | None:
    return path.read_bytes()[:size] if path.exists() else None
