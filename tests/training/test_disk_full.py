"""A disk that fills up while a run writes, by real faults of the system: told in words, nothing half-written, and gone
on with."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tiny_run import GRPO, REJECT, SFT, steps_of, tiny_base, write_recipe_file  # noqa: E402

from clearseek.errors import UserError  # noqa: E402
from clearseek.receipts import verify  # noqa: E402
from clearseek.training.loop import training_loop  # noqa: E402
from clearseek.training.publish.replay import same_bits  # noqa: E402
from clearseek.training.recipe.parsing import read_recipe  # noqa: E402
from clearseek.training.report.console import Screen  # noqa: E402
from clearseek.training.run import checkpoint, run_folder  # noqa: E402
from clearseek.training.run.disk import disk_error  # noqa: E402
from clearseek.training.train import Outcome, train  # noqa: E402

pytestmark = pytest.mark.slow  # whole runs

ALL = SFT + GRPO + REJECT
STEPS = 5 + 4 + 4
EVALUATE = "every = 0\ndev = 0\ntest = 2\nmax_new = 12\nserved = false\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return tiny_base(tmp_path_factory.mktemp("base") / "tiny", taught=80)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happens to."""
    place = tmp_path_factory.mktemp("whole")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSEEK_HOME", str(place / "home"))
        train(read_recipe(write_recipe_file(place, base, ALL, evaluate=EVALUATE)), place / "run", Screen(quiet=True))
    torch.set_num_threads(threads)
    return place / "run"


@contextlib.contextmanager
def after_step(patch: pytest.MonkeyPatch, done: int, act: Callable[[Path], None]) -> Iterator[None]:
    """Something happens to the run's folder as the step after `done` begins."""
    step: Callable[..., None] = training_loop.train_step

    def stepping(session: Any, *args: Any) -> None:
        if session.place.done == done:
            act(session.folder)
        step(session, *args)

    with patch.context() as own:
        own.setattr(training_loop, "train_step", stepping)
        yield


def stopped(recipe: Path, run: Path) -> str:
    with pytest.raises(UserError) as raised:
        train(read_recipe(recipe), run, Screen(quiet=True))
    return str(raised.value)


def whole_lines(path: Path) -> bool:
    content = path.read_bytes()
    return not content or (content.endswith(b"\n") and all(json.loads(line) for line in content.splitlines()))


def goes_on(recipe: Path, run: Path, whole: Path) -> None:
    """To the same end as if nothing had been."""
    done = train(read_recipe(recipe), run, Screen(quiet=True), resume=True)
    assert isinstance(done, Outcome)
    assert done.ended == "completed"
    assert steps_of(run) == steps_of(whole)
    mine, theirs = (checkpoint.load(one / "checkpoints" / f"step-{STEPS:06d}") for one in (run, whole))
    assert same_bits(mine.learner, theirs.learner)
    assert (run / "data" / "kept.jsonl").read_bytes() == (whole / "data" / "kept.jsonl").read_bytes()
    assert verify(run / "receipt.json").ok
    assert not list(run.glob("*.new"))


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "samples.jsonl", "ledger.jsonl", "status.json.new", "report.html.new"]
)
def test_a_full_disk_is_told_whichever_file_meets_it(
    whole: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """/dev/full takes the file's place: the system itself says that nothing is left."""
    recipe, run = write_recipe_file(tmp_path, base, ALL, evaluate=EVALUATE), tmp_path / "run"
    moved = tmp_path / "moved"

    def fill(folder: Path) -> None:
        if (folder / name).exists():
            (folder / name).rename(moved)
        (folder / name).symlink_to("/dev/full")

    with after_step(monkeypatch, 6, fill):
        said = stopped(recipe, run)
    assert "the disk is full" in said
    assert re.search(r"Everything up to step \d+ is saved; make room", said)
    assert f"`clearseek train {run} --resume`" in said
    with contextlib.suppress(FileNotFoundError):
        (run / name).unlink()
    if moved.exists():
        moved.rename(run / name)
    goes_on(recipe, run, whole)


@pytest.mark.parametrize("where", ["checkpoint", "setup"])
def test_a_file_that_may_not_grow_is_told_and_leaves_no_half(
    whole: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """`ulimit -f`, by which the system refuses the large files and lets the small ones through."""
    recipe, run = write_recipe_file(tmp_path, base, ALL, evaluate=EVALUATE), tmp_path / "run"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def small(*_: Any) -> None:
        kept = sum(1 for _ in (run / "ledger.jsonl").open()) if (run / "ledger.jsonl").exists() else 0
        size = (run / "ledger.jsonl").stat().st_size if kept else 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, before[1]))

    class Watching(Screen):
        def forecast(self, preflight: Any) -> None:
            if where == "setup":
                small()

    try:
        with after_step(monkeypatch, 3 if where == "checkpoint" else -1, small), pytest.raises(UserError) as raised:
            train(read_recipe(recipe), run, Watching(quiet=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "ulimit -f" in str(raised.value) or "the disk is full" in str(raised.value)
    assert not list((run / "checkpoints").glob(".*"))
    if where == "setup":
        assert "begin again" in str(raised.value)
        assert not (run / "status.json").exists()
        return
    assert "--resume" in str(raised.value)
    goes_on(recipe, run, whole)


@pytest.mark.parametrize("step", [0, 3, 7, 10, STEPS])
def test_a_disk_that_fills_up_at_any_step(
    whole: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """A small disk of its own, filled by another file."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a disk of one's own cannot be mounted here")
    recipe, run = write_recipe_file(tmp_path, base, ALL, evaluate=EVALUATE), disk / "run"

    def fill(*_: Any) -> None:
        with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"0" * 4096)

    class Watching(Screen):
        def tell(self, sentence: str) -> None:
            if step == STEPS and sentence.startswith("Writing the model"):
                fill()

    try:
        with after_step(monkeypatch, step, fill), pytest.raises(UserError) as raised:
            train(read_recipe(recipe), run, Watching(quiet=True))
        assert "the disk is full" in str(raised.value)
        assert "--resume" in str(raised.value)
        for name in (run_folder.METRICS, run_folder.SAMPLES):
            assert whole_lines(run / name)
        assert not list((run / "checkpoints").glob(".*"))
        assert not list(run.glob("*.new"))
        for product in ("model", "model.gguf", "adapter", "adapter.gguf"):
            assert not (run / product).exists()
        (disk / "filler").unlink()
        goes_on(recipe, run, whole)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_a_library_says_in_its_own_words_is_understood() -> None:
    for text in ("Error while serializing: I/O error: No space left on device (os error 28)", "The disk is full: more"):
        assert disk_error(RuntimeError(text)) == "the disk is full"
    outer = UserError("Nothing was booked.")
    outer.__cause__ = OSError(errno.EDQUOT, "Disk quota exceeded")
    assert disk_error(outer) == "your share of the disk is used up"
    assert disk_error(ValueError("another thing")) is None
