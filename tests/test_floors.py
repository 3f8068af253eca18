"""The import rule: a room imports only from floors below it, nothing in a circle, and torch stays in its rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "clearseek"

FLOORS = {
    "errors": 0,
    "settings": 0,
    "seeds": 0,
    "suggest": 0,
    "toml_tables": 0,
    "flops": 0,
    "sandbox": 1,
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
TRAINING = (
    "data", "recipe", "kernels", "update", "rollout", "score", "stages", "run", "report", "publish", "loop", "train",
)  # fmt: skip
"""Rooms inside training: each imports only from those before it."""
TORCH_ROOMS = {"modeling", "training", "benchmarks"}


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


def out_of_order(files: dict[Path, list[tuple[int, str]]]) -> list[str]:
    wrong = []
    for path, imports in files.items():
        parts = path.relative_to(SRC).with_suffix("").parts
        if parts[0] != "training" or parts[1] == "__init__":
            continue
        for line, name in imports:
            to = name.split(".")[2:3] if name.startswith("clearseek.training.") else []
            if to and to[0] != parts[1] and (to[0] not in TRAINING or TRAINING.index(to[0]) > TRAINING.index(parts[1])):
                wrong.append(f"{path}:{line}: training/{parts[1]} imports training/{to[0]}, which comes after it")
    return wrong


def test_the_rooms_inside_training_stand_in_order() -> None:
    files = {path: imports_of(path) for path in SRC.rglob("*.py")}
    assert {path.name.removesuffix(".py") for path in (SRC / "training").iterdir()} - {"__pycache__"} == {
        "__init__", *TRAINING,
    }  # fmt: skip
    assert out_of_order(files) == []
    assert out_of_order({SRC / "training" / "data" / "x.py": [(1, "clearseek.training.update.learner")]})


def graph_of(sources: dict[str, str]) -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports: at its top, inside functions and for types alike."""
    graph: dict[str, set[str]] = {name: set() for name in sources}
    for name, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                wanted = [
                    whole if (whole := f"{node.module}.{alias.name}") in sources else node.module
                    for alias in node.names
                ]
            else:
                continue
            graph[name] |= {module for module in wanted if module in sources and module != name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The sets of modules that import each other, directly or by way of others."""

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for module in graph[waiting.pop()] - seen:
                seen.add(module)
                waiting.append(module)
        return seen

    reach = {module: reachable(module) for module in graph}
    found = {frozenset({other for other in reach[m] if m in reach[other]}) for m in graph if m in reach[m]}
    return sorted(sorted(circle) for circle in found)


def test_nothing_imports_in_a_circle() -> None:
    sources = {}
    for path in SRC.rglob("*.py"):
        parts = path.relative_to(SRC.parent).with_suffix("").parts
        sources[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text("utf-8")
    assert len(sources) > 100
    assert circles(graph_of(sources)) == []


@pytest.mark.parametrize(
    "back",
    [
        "import p.a",
        "from p import a",
        "def f():\n    from p.a import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import X",
    ],
)
def test_a_circle_is_seen_however_it_is_closed(back: str) -> None:
    straight = {"p": "", "p.a": "from p import b", "p.b": "from p.c import y", "p.c": "y = 1"}
    assert circles(graph_of(straight)) == []
    assert circles(graph_of(straight | {"p.c": back})) == [["p.a", "p.b", "p.c"]]


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
