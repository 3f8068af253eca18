"""`clearseek serve`: what it refuses to do, and that it leaves when it is asked to."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from cli.helpers import clearseek, environment

pytestmark = pytest.mark.slow  # each starts programs, or needs the real model


def test_a_port_in_use_is_one_sentence(real_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = clearseek("serve", "--port", str(port), home=real_home)
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "--port" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_open_address_without_keys_is_refused_with_the_way_on(real_home: Path) -> None:
    done = clearseek("serve", "--host", "0.0.0.0", "--port", "0", home=real_home)
    assert done.returncode in (1, 2)
    assert "clearseek keys create" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_large_model_is_never_fetched_unasked(tmp_path: Path) -> None:
    done = clearseek("serve", "--model", "deepseek-r1-distill-qwen-7b", "--port", "0", home=tmp_path)
    assert done.returncode == 1
    assert "clearseek models pull" in done.stderr


def test_it_says_where_it_is_and_leaves_on_sigterm(real_home: Path) -> None:
    command = [sys.executable, "-m", "clearseek.cli.main", "serve", "--port", "0"]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(real_home)
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        with urllib.request.urlopen(f"{found.group()}/health", timeout=120) as response:
            assert response.status == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(120) in (0, -signal.SIGTERM)
    finally:
        server.kill()
        server.communicate()
