"""The import rule: a room imports only from floors below it, and torch stays in its rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parent.parent / "src" / "clearseek"

FLOORS = {
    "errors": 0,
    "settings": 0,
    "seeds": 0,
    "ledger": 1,
    "hub": 1,
    "report": 1,
    "audit": 2,
    "receipts": 2,
    "tasks": 2,
    "inference": 2,
    "modeling": 2,
    "evaluation": 3,
    "conversations": 3,
    "training": 4,
    "server": 4,
    "benchmarks": 5,
    "cli": 6,
}
TORCH_ROOMS = {"modeling", "tasks", "training", "benchmarks"}


def imports_of(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write it out"
            found.append((node.lineno, node.module or ""))
            if node.module == "clearseek":
                found += [(node.lineno, f"clearseek.{alias.name}") for alias in node.names]
    return found


def room_of(path: Path) -> str:
    relative = path.relative_to(SRC)
    return relative.parts[0].removesuffix(".py")


def violations(files: dict[Path, list[tuple[int, str]]]) -> list[str]:
    wrong = []
    for path, imports in files.items():
        room = room_of(path)
        if room in ("__init__", "__main__"):
            continue
        if room not in FLOORS:
            wrong.append(f"{path}: the room `{room}` has no floor; add it to the design and to this test")
            continue
        for line, name in imports:
            parts = name.split(".")
            if parts[0] == "torch" and room not in TORCH_ROOMS:
                wrong.append(f"{path}:{line}: {room} may not import torch")
            if parts[0] != "clearseek" or len(parts) < 2 or parts[1] in (room, "__version__"):
                continue
            ground = FLOORS[room] == 0 and FLOORS.get(parts[1]) == 0  # single files, not rooms
            if not ground and FLOORS.get(parts[1], 99) >= FLOORS[room]:
                wrong.append(f"{path}:{line}: {room} (floor {FLOORS[room]}) imports {parts[1]}")
    return wrong


def test_every_room_imports_only_from_floors_below() -> None:
    files = {path: imports_of(path) for path in SRC.rglob("*.py")}
    assert len(files) > 10
    assert violations(files) == []


def test_the_rule_catches_a_breach() -> None:
    breach = {
        SRC / "hub" / "x.py": [(1, "clearseek.server.app"), (2, "torch")],
        SRC / "inference" / "y.py": [(3, "clearseek.hub.store")],
    }
    assert len(violations(breach)) == 2


def test_importing_clearseek_and_the_server_leaves_torch_alone() -> None:
    code = "import sys, clearseek, clearseek.server.app, clearseek.cli.main; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_people_run_works_where_torch_cannot_be_imported() -> None:
    """Serving, the command line, audits and receipts; and the rooms of torch say what to install."""
    code = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "safetensors", "tokenizers", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTorch())
import clearseek.audit, clearseek.cli.main, clearseek.receipts, clearseek.server.app
import clearseek.modeling.config
from clearseek.errors import UserError
try:
    from clearseek.modeling import load_model
except UserError as error:
    assert "pip install 'clearseek[train]'" in str(error), error
else:
    raise SystemExit("load_model came without torch")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
