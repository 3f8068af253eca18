"""Put torch into the environment of those who change ClearSeek, without gigabytes of CUDA where nobody asked for them.

    python tools/install_torch.py REQUIREMENT... [--as-it-comes]

Run by the Makefile before the other tools. Exit code 0: torch is there. Exit code 3: it is not, one sentence says why,
and the tests that need it are left out. On Linux pip is first asked what would come along: if that is CUDA, nothing is
installed, unless `--as-it-comes` says that the requirement was chosen by a person.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys

PIP = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
HOW = (
    "Name the build that fits your machine, with pip's own options, for example make test TORCH_INSTALL=\"torch "
    '--index-url ADDRESS-OF-THE-CPU-BUILDS"; "Start locally" on torch\'s page has the addresses.'
)


def main() -> int:
    options = sys.argv[1:]
    wanted = [option for option in options if option != "--as-it-comes"]
    try:
        importlib.metadata.version("torch")
        return 0
    except importlib.metadata.PackageNotFoundError:
        pass
    if "--as-it-comes" not in options and sys.platform == "linux":
        asked = subprocess.run([*PIP, "--dry-run", "--quiet", "--report", "-", *wanted], capture_output=True, text=True)
        if asked.returncode:
            return without(last_line(asked.stderr))
        names = [package["metadata"]["name"].lower() for package in json.loads(asked.stdout)["install"]]
        if any(name.startswith(("nvidia", "cuda")) for name in names):
            return without(f"pip would bring CUDA along, several gigabytes. {HOW}")
    print(f"Installing {' '.join(wanted)}", flush=True)
    done = subprocess.run([*PIP, "--quiet", *wanted], capture_output=True, text=True)
    return without(last_line(done.stderr)) if done.returncode else 0


def without(why: str) -> int:
    print(f"torch is not installed, so the tests that need it are left out: {why}")
    return 3


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("WARNING")]
    return lines[-1] if lines else "pip did not say why."


if __name__ == "__main__":
    sys.exit(main())
