"""The real program as a process of its own: `clearseek serve` with the real model."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def clearseek_serve(home: Path, *options: str) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a running `clearseek serve` and its process; ended as Ctrl-C ends it.

    SmolLM2 answers where nothing is asked for by name: these tests need one that talks for long.
    """
    command = [sys.executable, "-m", "clearseek.cli.main", "serve", "--port", "0", *options]
    environment = {"CLEARSEEK_MODEL": "smollm2-135m-instruct", **os.environ, "CLEARSEEK_HOME": str(home)}
    log = (home / "serve.log").open("w")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.search(r"http://\S+", line)
        assert address, (home / "serve.log").read_text()
        yield address[0], psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        log.close()


def engine_of(server: psutil.Process) -> psutil.Process:
    """The one child process that generates."""
    children = [child for child in server.children() if child.is_running()]
    [child] = [child for child in children if "clearseek.inference.llamacpp_child" in child.cmdline()]
    return child
