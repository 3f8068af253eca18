"""Checkpoints and the other files of a run: whole or not there, and cut back to where a checkpoint was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from clearseek.errors import UserError  # noqa: E402
from clearseek.hub.files import hash_file  # noqa: E402
from clearseek.training.run import checkpoint, run_folder  # noqa: E402
from clearseek.training.run.checkpoint import Position  # noqa: E402
from clearseek.training.run.run_folder import Lines  # noqa: E402
from clearseek.training.stages.base import StageState  # noqa: E402

STATE = {
    "updates": torch.tensor(3),
    "weights/a": torch.randn(4, 3),
    "exp_avg/a": torch.full((4, 3), -0.0),
    "step/a": torch.tensor(3.0),
    "buffers/b": torch.tensor([float("nan"), 1e-45]),
}


def test_everything_comes_back_bit_for_bit(tmp_path: Path) -> None:
    from clearseek.training.publish.replay import same_bits

    position = Position(7, 1, 2, sizes={"metrics.jsonl": 9}, ledger={"entries": 4}, noted={"evaluated": ["x"]})
    stage = StageState({"pass": {"own": 0.25}}, {"kl": torch.arange(3)})
    folder = checkpoint.save(tmp_path, position, STATE, stage)
    found = checkpoint.load(folder)
    assert folder.name == "step-000007"
    assert same_bits(found.learner, STATE)
    assert (found.position.done, found.position.stage, found.position.step) == (7, 1, 2)
    assert found.position.sizes == {"metrics.jsonl": 9}
    assert found.stage.values == {"pass": {"own": 0.25}}
    assert bool((found.stage.tensors["kl"] == torch.arange(3)).all())
    assert checkpoint.without_optimizer(found.learner).keys() == {"updates", "weights/a", "buffers/b"}


@pytest.mark.parametrize("name", ["learner.safetensors", "position.json"])
def test_a_changed_byte_is_told_by_file(tmp_path: Path, name: str) -> None:
    folder = checkpoint.save(tmp_path, Position(1, 0, 1), STATE, StageState())
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is not the file that was written"):
        checkpoint.load(folder)


def test_the_last_ones_and_the_milestones_stay(tmp_path: Path) -> None:
    for done in range(8):
        checkpoint.save(tmp_path, Position(done, 0, done, milestone=done in (0, 3)), STATE, StageState())
    (tmp_path / ".new-step-000009").mkdir()
    assert checkpoint.prune(tmp_path, None) == []
    assert checkpoint.prune(tmp_path, 2) == [1, 2, 4, 5]
    assert checkpoint.numbers(tmp_path) == [0, 3, 6, 7]
    assert not list(tmp_path.glob(".new*"))


def test_one_of_the_same_number_is_replaced(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, Position(1, 0, 1), STATE, StageState())
    checkpoint.save(tmp_path, Position(1, 1, 0), STATE, StageState())
    found, said = checkpoint.load_latest(tmp_path)
    assert (found.position.stage, said) == (1, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000001"]


def test_an_empty_folder_has_nothing_to_go_on_from(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no checkpoint"):
        checkpoint.load_latest(tmp_path)
    assert checkpoint.latest(tmp_path / "gone") is None


def test_lines_are_cut_back_and_a_shorter_file_is_told(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "m.jsonl")
    lines.append([{"a": 1}])
    size = lines.size()
    lines.append([{"a": 2}])
    with lines.path.open("ab") as out:
        out.write(b'{"a": 3')
    assert lines.read() == [{"a": 1}, {"a": 2}]
    lines.cut(size)
    assert lines.read() == [{"a": 1}]
    with pytest.raises(UserError, match="shorter than its checkpoint"):
        lines.cut(size + 1)
    with pytest.raises(UserError, match="is gone"):
        Lines(tmp_path / "none.jsonl").cut(1)


def test_a_status_that_is_none_is_told(tmp_path: Path) -> None:
    assert run_folder.read_status(tmp_path) is None
    (tmp_path / "status.json").write_text("[]")
    with pytest.raises(UserError, match="is not what a run writes"):
        run_folder.read_status(tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from clearseek.training.run import checkpoint
from clearseek.training.run.checkpoint import Position
from clearseek.training.stages.base import StageState

root, first = Path(sys.argv[1]), sys.argv[2] == "first"

def state(value):
    return {"updates": torch.tensor(value), "weights/a": torch.full((3, 2), float(value))}

def once(number, place):
    # write one; killed at the number-th thing done to the file system
    seen = 0
    def hook(event, args):
        nonlocal seen
        if event in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir") and str(place) in str(args):
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    checkpoint.save(place, Position(7, 1, 0), state(2), StageState())
    checkpoint.prune(place, 3)

number = 0
while True:
    number += 1
    place = root / str(number)
    if not first:
        checkpoint.save(place, Position(7, 0, 7), state(1), StageState())
    child = os.fork()
    if child == 0:
        once(number, place)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(number, os.WIFSIGNALED(status), flush=True)
    if not os.WIFSIGNALED(status):
        break
"""


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False], ids=["a new one", "one that takes another's place"])
def test_killed_at_any_point_of_a_save_one_whole_checkpoint_is_found(tmp_path: Path, first: bool) -> None:
    """By SIGKILL, at each open, rename and removal; what is found is the new one or the old, and a later save works."""
    args = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), "first" if first else "again"]
    lines = subprocess.run(args, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    assert len(lines) > 8
    stages = []
    for number in range(1, len(lines) + 1):
        root = tmp_path / str(number)
        try:
            found, said = checkpoint.load_latest(root)
        except UserError:
            assert first, number
            stages.append(None)
        else:
            assert said == []
            assert int(found.learner["updates"]) == found.position.stage + 1
            stages.append(found.position.stage)
        checkpoint.prune(root, 3)
        checkpoint.save(root, Position(7, 1, 0), STATE, StageState())
        assert [path.name for path in root.iterdir()] == ["step-000007"]
    assert stages[-1] == 1
    assert stages == sorted(stages, key=lambda stage: -1 if stage is None else stage)


def test_what_several_kills_left_is_put_back_each_where_nothing_stands(tmp_path: Path) -> None:
    for done in (1, 2, 3):
        checkpoint.save(tmp_path, Position(done, 0, done), STATE, StageState())
    (tmp_path / ".new-step-000001").mkdir()  # its place is taken
    (tmp_path / "step-000002").rename(tmp_path / ".new-step-000002")
    (tmp_path / "step-000003").rename(tmp_path / ".old-step-000003")
    (tmp_path / ".new-step-000004").mkdir()  # not whole
    found, said = checkpoint.load_latest(tmp_path)
    assert (found.position.done, said) == (3, [])
    assert checkpoint.numbers(tmp_path) == [1, 2, 3]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"3", b"{}"])
@pytest.mark.parametrize("name", ["digests.json", "position.json"])
def test_one_that_cannot_be_read_is_told_and_the_one_before_is_taken(tmp_path: Path, name: str, content: bytes) -> None:
    for done in (1, 2):
        folder = checkpoint.save(tmp_path, Position(done, 0, done), STATE, StageState())
    (folder / name).write_bytes(content)
    if name == "position.json":  # as whoever wrote that would have noted it
        digests = {path.name: hash_file(path) for path in folder.iterdir() if path.name != "digests.json"}
        (folder / "digests.json").write_text(json.dumps(digests))
    with pytest.raises(UserError):
        checkpoint.load(folder)
    found, said = checkpoint.load_latest(tmp_path)
    assert found.position.done == 1
    assert len(said) == 1
