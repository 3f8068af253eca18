"""What goes into the package goes with the books of every run that it builds on, or it does not go."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from clearseek.errors import UserError
from clearseek.settings import model_data


def test_a_model_without_the_books_of_its_earlier_runs_is_not_shipped(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("ship_model", Path(__file__).parents[2] / "tools" / "ship_model.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    run = Path(shutil.copytree(model_data() / "clearseek-r1-135m", tmp_path / "run"))
    (run / "adapter").mkdir()
    for name in ("adapter.json", "adapter.safetensors"):
        shutil.move(run / name, run / "adapter" / name)
    earlier = next(iter(sorted((run / "parents").glob("*/ledger.jsonl"))))
    earlier.unlink()
    with pytest.raises(UserError, match=r"must be there to be checked.*ledger\.jsonl"):
        tool.ship(run, tmp_path / "package")
    assert not (tmp_path / "package").exists()
