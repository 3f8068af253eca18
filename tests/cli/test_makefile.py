"""The Makefile on machines that lack something, and the scripts that a bare machine runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def make(place: Path, *args: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": path or os.environ["PATH"]}
    return subprocess.run(["make", *args], cwd=place, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def empty_clone(tmp_path: Path) -> Path:
    """A folder with the Makefile and what it depends on, and no virtual environment."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "hatch_build.py"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def tools(place: Path, **scripts: str) -> str:
    """A PATH with the usual small tools and these scripts, and no Python."""
    folder = place / "tools"
    folder.mkdir()
    for name in ("make", "sh", "tail", "find", "touch", "rm", "env", "cat"):
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_a_python_that_is_too_old_is_told_in_a_sentence(empty_clone: Path) -> None:
    old = 'case "$1" in --version) echo "Python 3.9.6";; *) exit 1;; esac'
    done = make(empty_clone, "chat", path=tools(empty_clone, python3=old))
    assert done.returncode != 0
    assert "ClearSeek needs Python 3.11 or newer, and found Python 3.9.6" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (empty_clone / ".venv").exists()


def test_a_python_that_cannot_make_environments_says_what_to_install(empty_clone: Path) -> None:
    half = 'case "$1" in --version) echo "Python 3.12.1";; -c) exit 0;; *) mkdir -p .venv 2>/dev/null; exit 1;; esac'
    done = make(empty_clone, "chat", path=tools(empty_clone, python3=half))
    assert done.returncode != 0
    assert "python3-venv" in done.stderr
    assert not (empty_clone / ".venv").exists()


def test_when_pip_fails_its_last_words_are_shown_and_nothing_is_marked_done(empty_clone: Path) -> None:
    python = empty_clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nfor n in 1 2 3; do echo "step $n"; done\necho "ERROR: no network here"\nexit 7\n')
    python.chmod(0o755)
    done = make(empty_clone, "chat")
    assert done.returncode != 0
    assert "ERROR: no network here" in done.stdout
    assert "pip could not install ClearSeek" in done.stdout
    assert "step 1" in (empty_clone / ".venv" / "install.log").read_text()
    assert not (empty_clone / ".venv" / ".base").exists()


def test_chat_installs_no_tools_of_developers_and_a_second_time_nothing(empty_clone: Path) -> None:
    python = empty_clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@" >> ran\n')
    python.chmod(0o755)
    program = empty_clone / ".venv" / "bin" / "clearseek"
    program.write_text('#!/bin/sh\necho "clearseek $@" >> ran\n')
    program.chmod(0o755)
    page = empty_clone / "src" / "clearseek" / "server" / "static" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("built")
    for _ in range(2):
        done = make(empty_clone, "chat")
        assert done.returncode == 0, done.stderr
    ran = (empty_clone / "ran").read_text().splitlines()
    assert len(ran) == 3
    assert ran[0].startswith("-m pip install ")
    assert ran[0].endswith("-c constraints.txt -e .")
    assert ran[1:] == ["clearseek serve --open"] * 2

    page.unlink()  # a page that is gone is built again
    make(empty_clone, "chat")
    assert len((empty_clone / "ran").read_text().splitlines()) == 5


DEFAULT_TORCH = "tools/install_torch.py torch==2.13.0 -c constraints.txt"


@pytest.mark.parametrize(
    ("torch", "arguments", "expected"),
    [
        ("exit 0", (), [DEFAULT_TORCH, "-c constraints.txt -e .[dev,train,peers]"]),
        ("exit 3", (), [DEFAULT_TORCH, "-c constraints.txt -e .[dev]"]),
        (
            "exit 0",
            ("TORCH_INSTALL=torch x",),
            ["tools/install_torch.py torch x --as-it-comes", "-c constraints.txt -e .[dev,train,peers]"],
        ),
        (
            "exit 0",
            ("CONSTRAINTS=",),
            ["tools/install_torch.py torch==2.13.0", "--progress-bar off -e .[dev,train,peers]"],
        ),
        ("exit 0", ("TORCH_INSTALL=",), ["-c constraints.txt -e .[dev]"]),
    ],
)
def test_tools_of_developers_come_with_torch_where_it_can_be_had(
    torch: str, arguments: tuple[str, ...], expected: list[str], empty_clone: Path
) -> None:
    python = empty_clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >> ran\ncase "$1" in tools/*) {torch};; esac\n')
    python.chmod(0o755)
    done = make(empty_clone, "test-fast", *arguments)
    assert done.returncode == 0, done.stderr
    *ran, tests = (empty_clone / "ran").read_text().splitlines()
    assert tests.startswith("-m pytest")
    assert len(ran) == len(expected)
    assert all(line.endswith(end) for line, end in zip(ran, expected, strict=True)), ran


def test_lock_leaves_out_what_only_cuda_asks_for(empty_clone: Path) -> None:
    found = "# torch left out\\ncuda-toolkit==1\\nnumpy==2\\nnvidia-cublas==1\\nnvidia-ml-py==13\\ntriton==3\\n"
    python = empty_clone / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *"-m uv pip compile"*) cat >asked; printf "{found}" >constraints.txt;; esac\n'
    )
    python.chmod(0o755)
    done = make(empty_clone, "lock")
    assert done.returncode == 0, done.stderr
    assert (empty_clone / "asked").read_text() == "torch==2.13.0\n"
    header, *pins = (empty_clone / "constraints.txt").read_text().splitlines()
    assert header.startswith("# ")
    assert "make lock" in header
    assert pins == ["numpy==2", "nvidia-ml-py==13"]


def test_torch_that_brings_cuda_along_is_left_out_and_said(tmp_path: Path) -> None:
    """The script against a pip that answers as pip does on a machine whose only torch is the CUDA build."""
    package = tmp_path / "pip"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "import json, sys\n"
        "assert '--dry-run' in sys.argv, 'it went on to install'\n"
        "print(json.dumps({'install': [{'metadata': {'name': name}} for name in ('torch', 'nvidia-cublas')]}))\n"
    )
    # no site-packages: a torch that is installed here must not answer instead
    code = (
        "import runpy, sys; sys.platform = 'linux'; sys.path = [p for p in sys.path if 'site-packages' not in p]; "
        "sys.argv = ['install_torch.py', 'torch==2.13.0']; "
        f"runpy.run_path({str(ROOT / 'tools' / 'install_torch.py')!r}, run_name='__main__')"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "pip would bring CUDA along" in done.stdout
    assert "TORCH_INSTALL" in done.stdout


def test_the_script_of_a_bare_machine_is_sound() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
