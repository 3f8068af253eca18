"""Receipt files beside a model: what a receipt names is found, and laid elsewhere under its name."""

from __future__ import annotations

from pathlib import Path

from clearseek.hub.receipt_files import copy_receipt_files, receipt_files_of

NAMES = ("receipt.json", "recipe.toml", "evaluations/test-after.json", "data/cards/eggs.json", "tasks/eggs.py")


def test_a_task_of_ones_own_goes_with_the_receipt_and_an_old_one_goes_away(tmp_path: Path) -> None:
    run, target = tmp_path / "run", tmp_path / "target"
    for name in (*NAMES, "model.gguf", "tasks/problems.jsonl"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    files = receipt_files_of(run)
    assert sorted(files) == sorted(NAMES)  # problems may be many, and private; their digest is on the card
    (target / "tasks").mkdir(parents=True)
    (target / "tasks" / "older.py").write_text("")
    copy_receipt_files(files, target)
    assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()) == sorted(NAMES)
    assert (target / "tasks" / "eggs.py").read_text() == "tasks/eggs.py"
