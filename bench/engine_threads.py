"""How long should the engine's threads spin while they wait for each other? And how soon is a cancelled one idle?

    python bench/engine_threads.py            # decode speed by GOMP_SPINCOUNT, alone and beside a busy loop
    python bench/engine_threads.py --cancel   # seconds until the engine is idle after its reader has gone

On the installed default model, greedy, nothing else running. Tokens per second; None: not done within --limit seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time

import psutil

from clearseek.hub.store import Store
from clearseek.inference.engine import Delta, Finished, Progress, Request, Sampling, Thinking
from clearseek.inference.llamacpp import LlamaCppEngine
from clearseek.settings import home, load_settings

OFF = Thinking(enabled=False)


def engine() -> LlamaCppEngine:
    return LlamaCppEngine(Store(home() / "models").find(load_settings().model), slots=8)


async def decode() -> None:
    """Prints the speed for 1 and for 8 users."""
    one = engine()

    async def tokens(number: int) -> int:
        text = f"Write a very long story about a lighthouse, number {number}."
        asked = ({"role": "user", "content": text},)
        request = Request(asked, max_tokens=32, thinking=OFF, sampling=Sampling(temperature=0.0))
        last = [event async for event in one.generate(request)][-1]
        assert isinstance(last, Finished)
        return last.usage.completion_tokens

    try:
        await tokens(0)
        for users in (1, 8):
            began = time.monotonic()
            made = sum(await asyncio.gather(*(tokens(users * 10 + user) for user in range(users))))
            print(f"{made / (time.monotonic() - began):.0f}", end=" ", flush=True)
    finally:
        await one.close()


async def cancel() -> None:
    """Prints, for prompt reading and decoding, how long the engine goes on after the reader has gone."""
    one = engine()
    process = psutil.Process((await one.start()).process.pid)

    def used() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    try:
        for case in ("prompt", "decode") * 5:
            text = "word " * 6000 if case == "prompt" else "Write a very long story."
            stream = one.generate(Request(({"role": "user", "content": f"{time.time()} {text}"},), thinking=OFF))
            deltas = 0
            async for event in stream:
                deltas += isinstance(event, Delta)
                if deltas == 3 or (case == "prompt" and isinstance(event, Progress) and event.processed > 256):
                    break
            began = time.monotonic()
            await stream.aclose()
            before, still = used(), time.monotonic()
            while time.monotonic() - still < 0.3:
                await asyncio.sleep(0.05)
                if (now := used()) - before > 0.011:
                    before, still = now, time.monotonic()
            print(f"{case}: {still - began:.2f} s")
    finally:
        await one.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cancel", action="store_true")
    parser.add_argument("--decode", action="store_true", help="one measurement with the environment as it is")
    parser.add_argument("--spins", default="300000,10000,1000,100,0")
    parser.add_argument("--limit", type=float, default=60)
    asked = parser.parse_args()
    if asked.cancel or asked.decode:
        asyncio.run(cancel() if asked.cancel else decode())
        return
    for busy in (False, True):
        for spins in asked.spins.split(","):
            loop = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
            try:
                env = os.environ | {"GOMP_SPINCOUNT": spins}
                command = [sys.executable, __file__, "--decode"]
                done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=asked.limit)
                said = done.stdout.strip()
            except subprocess.TimeoutExpired:
                said = "None"
            finally:
                if loop is not None:
                    loop.kill()
                    loop.wait()
            print(f"{'beside a busy loop' if busy else 'alone':18} spins {spins:>6}: {said}", flush=True)


if __name__ == "__main__":
    main()
