"""Is requantising worth it? Speed and quality of each variant of one model, through the real engine.

    python bench/requantize.py [MODEL.gguf] [--quality | --speed] [--json]

Quality: perplexity over a fixed text, and how often the likeliest next token is the same as the original's, position
by position. The log-probabilities come from the engine itself: every token of the text is forced by a large bias
while the engine reports the probabilities from before the bias (a check at the start makes sure of that).
Speed: tokens per second while decoding for 1 and for 16 users at once, and while reading a prompt; the variants take
turns, and the median over the rounds counts. Run it on a quiet machine.

The text: the opening of "A Scandal in Bohemia" by Arthur Conan Doyle (1891), in the public domain.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import secrets
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from clearseek.hub.requantize import requantize
from clearseek.hub.store import Store
from clearseek.settings import SMALL_MODEL, home

TEXT = Path(__file__).parent / "data" / "scandal-in-bohemia.txt"
FORCE = 1000.0
DECODE_TOKENS, USERS, PREFILL_TOKENS = 96, 16, 1024


def engine(model: str, key: str, threads: int, pipe: Any) -> None:
    """The child: a bare llama.cpp server on `model`."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx, params.n_parallel, params.kv_unified = 16_384, USERS, True
    params.api_keys, params.cors_origins, params.ui, params.port = [key], "", False, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)
    pipe.send(server.listening_address)
    pipe.recv()


class Engine:
    """A bare server in a child process, and how to talk to it."""

    def __init__(self, model: Path, threads: int) -> None:
        self.model, self.threads, self.key = model, threads, secrets.token_hex(16)

    async def __aenter__(self) -> Engine:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.child = context.Process(target=engine, args=(str(self.model), self.key, self.threads, theirs), daemon=True)
        self.child.start()
        url = await asyncio.to_thread(self.pipe.recv)
        headers = {"Authorization": f"Bearer {self.key}"}
        self.session = aiohttp.ClientSession(url, headers=headers, timeout=aiohttp.ClientTimeout(total=600))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        self.child.kill()
        self.child.join()

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        async with self.session.post(path, json=body) as reply:
            reply.raise_for_status()
            return await reply.json()

    async def tokens(self, text: str) -> list[int]:
        answer = await self.post("/tokenize", {"content": text, "parse_special": False, "add_special": False})
        return [int(token) for token in answer["tokens"]]

    async def next_token(self, before: list[int], forced: int | None, wanted: int) -> tuple[int, float, list[Any]]:
        """What came after `before`, its log-probability, and the likeliest ones as (id, log-probability)."""
        body: dict[str, Any] = {
            "prompt": before, "n_predict": 1, "n_probs": wanted, "temperature": 0.0, "id_slot": 0,
            "cache_prompt": True, "post_sampling_probs": False, "repeat_penalty": 1.0,
        }  # fmt: skip
        if forced is not None:
            body["logit_bias"] = [[forced, FORCE]]
        answer = (await self.post("/completion", body))["completion_probabilities"][0]
        return answer["id"], answer["logprob"], [(top["id"], top["logprob"]) for top in answer["top_logprobs"]]


async def check_that_probabilities_are_raw(engine: Engine, ids: list[int]) -> None:
    """The bias must force the token and leave what is reported as it was."""
    _, _, plain = await engine.next_token(ids[:40], None, 10)
    token, expected = plain[7]
    came, reported, _ = await engine.next_token(ids[:40], token, 10)
    if came != token or abs(reported - expected) > 1e-3:
        sys.exit(f"The engine reports biased probabilities ({reported} for {expected}); quality cannot be measured.")


async def quality(model: Path, threads: int) -> tuple[float, list[int], list[float]]:
    """Perplexity over the text, the likeliest token at each position, and each token's log-probability."""
    async with Engine(model, threads) as engine:
        ids = await engine.tokens(TEXT.read_text("utf-8"))
        await check_that_probabilities_are_raw(engine, ids)
        likeliest, logprobs = [], []
        for position in range(1, len(ids)):
            came, logprob, top = await engine.next_token(ids[:position], ids[position], 1)
            assert came == ids[position]
            likeliest.append(top[0][0])
            logprobs.append(logprob)
    return math.exp(-statistics.fmean(logprobs)), likeliest, logprobs


async def speed(model: Path, threads: int) -> dict[str, float]:
    """Tokens per second: decoding for 1 and 16 users, reading a prompt."""
    async with Engine(model, threads) as engine:
        ids = await engine.tokens(TEXT.read_text("utf-8"))
        body = {"n_predict": DECODE_TOKENS, "ignore_eos": True, "temperature": 0.0, "cache_prompt": False}
        await engine.post("/completion", {**body, "prompt": ids[:32], "n_predict": 8})
        alone = await engine.post("/completion", {**body, "prompt": ids[:32]})
        start = time.perf_counter()
        answers = await asyncio.gather(
            *(engine.post("/completion", {**body, "prompt": ids[32 * n : 32 * n + 32]}) for n in range(USERS))
        )
        wall = time.perf_counter() - start
        reading = await engine.post("/completion", {**body, "prompt": ids[:PREFILL_TOKENS], "n_predict": 1})
    return {
        "decode_1": alone["timings"]["predicted_per_second"],
        f"decode_{USERS}": sum(answer["tokens_predicted"] for answer in answers) / wall,
        "prefill": reading["timings"]["prompt_per_second"],
    }


async def measure(original: Path, what: str, rounds: int, threads: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as scratch:
        variants = {"keep": original}
        for kind in ("q4_0", "q8_0"):
            variants[kind] = Path(scratch) / f"{kind}.gguf"
            requantize(original, variants[kind], kind)
        rows: dict[str, dict[str, Any]] = {
            name: {"variant": name, "megabytes": round(path.stat().st_size / 1e6, 1)} for name, path in variants.items()
        }
        if what != "quality":
            measured: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
            for _ in range(rounds):
                for name, path in variants.items():
                    measured[name].append(await speed(path, threads))
            for name, runs in measured.items():
                rows[name] |= {key: round(statistics.median(run[key] for run in runs), 1) for key in runs[0]}
        if what != "speed":
            reference, base = [], []
            for name, path in variants.items():
                perplexity, likeliest, logprobs = await quality(path, threads)
                if name == "keep":
                    reference, base = likeliest, logprobs
                same = sum(a == b for a, b in zip(likeliest, reference, strict=True)) / len(reference)
                # the difference per token is paired, so its error is far smaller than that of either perplexity
                change = [a - b for a, b in zip(base, logprobs, strict=True)]
                error = statistics.stdev(change) / math.sqrt(len(change)) if name != "keep" else 0.0
                rows[name] |= {
                    "perplexity": round(perplexity, 3),
                    "nats_worse": round(statistics.fmean(change), 4),
                    "nats_error": round(error, 4),
                    "top1_agreement": round(same, 4),
                    "tokens": len(reference),
                }
    return list(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, help="a GGUF file; the installed default model when absent")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--quality", action="store_true", help="leave speed out")
    only.add_argument("--speed", action="store_true", help="leave quality out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    model = given.model or Store(home() / "models").find(SMALL_MODEL).path
    what = "quality" if given.quality else "speed" if given.speed else "both"
    rows = asyncio.run(measure(model, what, given.rounds, given.threads))
    if given.json:
        print(json.dumps({"model": model.name, "threads": given.threads, "rounds": given.rounds, "variants": rows}))
        return
    print("  ".join(f"{key:>14}" for key in rows[0]))
    for row in rows:
        print("  ".join(f"{value!s:>14}" for value in row.values()))


if __name__ == "__main__":
    main()
