"""llama.cpp on a file, in a child process, for tests: tokenise, continue, and the log-probabilities it works with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx


class LlamaCpp:
    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def tokenize(self, text: str, *, control: bool = False) -> list[int]:
        body = {"content": text, "add_special": False, "parse_special": control}
        return [int(token) for token in self.post("/tokenize", body)["tokens"]]

    def greedy(self, ids: Sequence[int], tokens: int) -> list[int]:
        """The ids that llama.cpp finds most likely, one after the other, not stopping at an end."""
        body = {"prompt": list(ids), "n_predict": tokens, "temperature": 0, "return_tokens": True, "ignore_eos": False}
        return [int(token) for token in self.post("/completion", body)["tokens"]]

    def next_logprobs(self, ids: Sequence[int], top: int) -> dict[int, float]:
        """The `top` most likely next tokens with their log-probabilities, before any sampling."""
        # half a character and an end come without log-probabilities: a bias, which they do not show, makes it an `a`
        plain = self.tokenize("a")[0]
        body = {"prompt": list(ids), "n_predict": 1, "n_probs": top, "logit_bias": [[plain, 1000.0]]}
        first = self.post("/completion", body)["completion_probabilities"][0]
        assert first["id"] == plain
        return {int(token["id"]): float(token["logprob"]) for token in first["top_logprobs"]}


@contextmanager
def llama_cpp(model: Path, context: int = 2304, threads: int = 2) -> Iterator[LlamaCpp]:
    settings = {
        "model": str(model),
        "key": "k" * 16,
        "cache_mib": 0,
        "total_context": context,
        "slots": 1,
        "batch": 512,
        "threads": threads,
    }
    command = [sys.executable, "-m", "clearseek.inference.llamacpp_child"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(settings) + "\n")
            child.stdin.flush()
            said = json.loads(child.stdout.readline() or '{"error": "it ended"}')
            assert "url" in said, said
            yield LlamaCpp(said["url"], settings["key"])
        finally:
            child.stdin.close()
            child.wait(120)
