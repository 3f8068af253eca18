"""The load of `bench serve`, in its own process: `python -m clearseek.cli.bench_load`, job on stdin, times on stdout.

It must cost next to nothing, or it would slow down what it measures: after the first piece of an answer it parses
nothing, and only keeps the end of the stream, where the token counts are.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
import orjson

TAIL_BYTES = 8192
TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class AnswerTimes:
    """One request. Times in seconds since the job began."""

    started: float
    first: float
    ended: float
    prompt_tokens: int
    completion_tokens: int
    finish: str


async def run_job(job: dict[str, Any]) -> list[AnswerTimes]:
    """`job`: url, key, users (a list with one list of request bodies per user, asked one after another)."""
    headers = {"content-type": "application/json"}
    if job["key"]:
        headers["authorization"] = f"Bearer {job['key']}"
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    # A connection per request: llama.cpp's server drops a kept one after a streamed answer without saying so.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session:
        zero = time.perf_counter()

        async def user(bodies: list[dict[str, Any]]) -> list[AnswerTimes]:
            return [await _ask(session, job["url"], orjson.dumps(body), zero) for body in bodies]

        return [answer for answers in await asyncio.gather(*map(user, job["users"])) for answer in answers]


async def _ask(session: aiohttp.ClientSession, url: str, body: bytes, zero: float) -> AnswerTimes:
    started = time.perf_counter() - zero
    first = 0.0
    head, tail, pieces = b"", b"", 0
    async with session.post(url, data=body) as response:
        if response.status != 200:
            raise RuntimeError(f"{url} answered {response.status}: {(await response.text())[:300]}")
        async for chunk in response.content.iter_any():
            if not first:
                head += chunk
                if _has_text(head):
                    first = time.perf_counter() - zero
            pieces += chunk.count(b'"content"')
            tail = (tail + chunk)[-TAIL_BYTES:]
    ended = time.perf_counter() - zero
    if not first:
        raise RuntimeError(f"{url} answered with no text: {head[:300]!r}")
    prompt, completion, finish = _counts(tail)
    return AnswerTimes(started, first, ended, prompt, completion or pieces, finish)


def _has_text(stream: bytes) -> bool:
    for line in stream.split(b"\n")[:-1]:
        if line.startswith(b"data: {"):
            for choice in orjson.loads(line[6:]).get("choices") or ():
                if (choice.get("delta") or {}).get("content"):
                    return True
    return False


def _counts(tail: bytes) -> tuple[int, int, str]:
    """(prompt tokens, completion tokens, finish reason) out of the end of a stream; 0 where it does not say."""
    prompt, completion, finish = 0, 0, ""
    for line in tail.split(b"\n"):
        if not line.startswith(b"data: {"):
            continue
        try:
            document = orjson.loads(line[6:])
        except orjson.JSONDecodeError:
            continue  # the line that the tail cut in two
        usage = document.get("usage") or {}
        prompt = usage.get("prompt_tokens") or prompt
        completion = usage.get("completion_tokens") or completion
        for choice in document.get("choices") or ():
            finish = choice.get("finish_reason") or finish
    return prompt, completion, finish


def main() -> None:
    job = orjson.loads(sys.stdin.buffer.read())
    try:
        answers = asyncio.run(run_job(job))
    except (RuntimeError, aiohttp.ClientError, TimeoutError) as error:
        sys.exit(str(error) or type(error).__name__)
    sys.stdout.buffer.write(orjson.dumps([asdict(answer) for answer in answers]))


if __name__ == "__main__":
    main()
