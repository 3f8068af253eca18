"""`constraints.txt`: every dependency has one version there, and `make` installs those versions."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]


def pinned(pin: Requirement) -> str:
    (one,) = pin.specifier
    assert one.operator == "==", pin
    return one.version


def test_every_dependency_has_a_version_that_satisfies_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    asked = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        asked += extra
    makefile = (ROOT / "Makefile").read_text("utf-8")
    torch = re.search(r"^TORCH_INSTALL \?= (torch==\S+)$", makefile, re.M)
    assert torch, "the Makefile pins torch"
    versions = {canonicalize_name(pin.name): pinned(pin) for pin in [*PINS, Requirement(torch[1])]}
    for line in asked:
        need = Requirement(line)
        found = versions.get(canonicalize_name(need.name))
        assert found, f"{need} has no version in constraints.txt: make lock"
        assert need.specifier.contains(found), f"constraints.txt has {found} where {need} is asked for: make lock"


def test_no_pin_brings_cuda_along_and_none_names_a_place() -> None:
    """A pin of CUDA's parts, or of torch, would refuse the build of torch that somebody chose for a machine."""
    for pin in PINS:
        assert pin.url is None, pin
        assert not re.match(r"torch$|triton|cuda-|nvidia-(?!ml-py)", canonicalize_name(pin.name)), pin
    assert "://" not in (ROOT / "constraints.txt").read_text("utf-8")


def test_what_is_installed_is_what_is_pinned() -> None:
    stamp = Path(sys.prefix) / ".dev"
    if not stamp.exists() or "constraints.txt" not in stamp.read_text("utf-8"):
        pytest.skip("this environment was not made by make with constraints.txt")
    other = []
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate():
            try:
                here = version(pin.name)
            except PackageNotFoundError:
                continue
            if not pin.specifier.contains(here, prereleases=True):
                other.append(f"{pin.name} is {here}, and pinned is {pinned(pin)}")
    assert not other, other
