"""Pull in a process of its own, as people do: the settings of hubs and pip are read when they are imported.

python pulling.py MODELS_FOLDER CATALOGUE NAME [QUANT]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from clearseek.errors import UserError
from clearseek.hub.catalogue import parse_catalogue
from clearseek.hub.store import Store


def catalogue(path: Path, **changes: object) -> Path:
    """A catalogue of one entry, `tiny`."""
    entry = {
        "name": "tiny", "aliases": ["t"], "source": "hf:owner/tiny", "revision": "main", "file": "tiny.gguf",
        "licence": "Apache-2.0", "context": 256, "thinking": "prompted", "description": "Tiny.", **changes,
    }  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in entry.items() if value is not None]
    path.write_text("[[model]]\n" + "\n".join(lines) + "\n", "utf-8")
    return path


def start(root: Path, entries: Path, name: str = "tiny", *more: str, **environ: str) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    env = {**clean, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(root.parent / "hf-home"), **environ}
    command = [sys.executable, __file__, str(root), str(entries), name, *more]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def pull(root: Path, entries: Path, name: str = "tiny", *more: str, **environ: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    process = start(root, entries, name, *more, **environ)
    out, err = process.communicate(timeout=120)
    return process.returncode, out.strip(), err.strip()


def main() -> None:
    root, entries, name, *quant = sys.argv[1:]
    store = Store(Path(root), parse_catalogue(Path(entries).read_text(), entries))
    try:
        model = store.pull(name, quant=quant[0] if quant else None)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    print(model.path)


if __name__ == "__main__":
    main()
