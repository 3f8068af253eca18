"""Which words make a model that was never taught to think do it? Accuracy of several on small sums with a known answer.

    python bench/prompted_thinking.py [MODEL] [--n 60] [--seed 1]

Every problem is asked once without thinking and once with each pair of words, through the engine that serves people,
with its own sampling. The answer counts as right when its last number is the right one. 95% Wilson intervals.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import re
from dataclasses import replace
from typing import Any

from clearseek.hub.store import Store
from clearseek.inference import llamacpp
from clearseek.inference.engine import Delta, Finished, Request, Sampling, Thinking
from clearseek.inference.llamacpp import LlamaCppEngine
from clearseek.inference.style import PROMPTED, ThinkingStyle
from clearseek.settings import home

OPEN_QUESTIONS = (
    "Why is the sky blue?",
    "Write a short poem about the sea.",
    "hi",
    "What do plants need to grow?",
    "Give me three tips for sleeping better.",
)
STEP = "Let me think step by step.\n"
STYLES = {
    "step / So, the answer is:": (STEP, "\n\nSo, the answer is:"),
    "step / Answer:": (STEP, "\n\nAnswer:"),
    "step / So, to answer your question:": (STEP, "\n\nSo, to answer your question:"),
    "step / In short,": (STEP, "\n\nIn short,"),
    "step / Final answer:": (STEP, "\n\nFinal answer:\n"),
    "think tags": ("<think>\n", "\n</think>\n\n"),
}


def problems(n: int, seed: int) -> list[tuple[str, int]]:
    """Questions in words and their answers."""
    rng = random.Random(seed)
    out = []
    for _ in range(n):
        a, b = rng.randint(2, 20), rng.randint(2, 9)
        name, thing = rng.choice(["Tom", "Ann", "Max", "Eva"]), rng.choice(["apples", "books", "coins", "pens"])
        out.append(
            rng.choice(
                [
                    (f"{name} has {a} {thing} and buys {b} more. How many {thing} does {name} have now?", a + b),
                    (f"{name} has {a + b} {thing} and gives away {b}. How many {thing} are left?", a),
                    (f"A box holds {b} {thing}. How many {thing} are in {a % 6 + 2} boxes?", b * (a % 6 + 2)),
                ]
            )
        )
    return out


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95% interval of a share."""
    z, share = 1.96, right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return middle - half, middle + half


async def answer(engine: LlamaCppEngine, text: str, thinking: Thinking, seed: int) -> tuple[str, str, int]:
    told: dict[str, str] = {"thinking": "", "answer": ""}
    tokens = 0
    request = Request(
        ({"role": "user", "content": text},), max_tokens=200, thinking=thinking, sampling=Sampling(seed=seed)
    )
    async for event in engine.generate(request):
        if isinstance(event, Delta):
            told[event.kind] += event.text
        elif isinstance(event, Finished):
            tokens = event.usage.completion_tokens
    return told["thinking"], told["answer"], tokens


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    engine = LlamaCppEngine(Store(home() / "models").find(asked.model), context=1024, slots=8)
    gate = asyncio.Semaphore(8)

    async def one(text: str, thinking: Thinking) -> tuple[str, str, int]:
        async with gate:
            return await answer(engine, text, thinking, asked.seed)

    cases: list[tuple[str, ThinkingStyle, Thinking]] = [("no thinking", PROMPTED, Thinking(enabled=False))]
    for name, (opening, closing) in STYLES.items():
        cases.append((name, replace(PROMPTED, opening=opening, shown=opening, closing=closing), Thinking()))
    sums = problems(asked.n, asked.seed)
    try:
        for name, style, thinking in cases:
            engine.style = style
            llamacpp.PROMPTED = style  # type: ignore[misc]  # the sampling goes by it
            said: list[Any] = await asyncio.gather(*(one(text, thinking) for text, _ in sums))
            right = 0
            for (_, wanted), (_, told, _) in zip(sums, said, strict=True):
                numbers = re.findall(r"-?\d+", told.replace(",", ""))
                right += bool(numbers) and int(numbers[-1]) == wanted
            low, high = wilson(right, len(sums))
            mean = sum(tokens for *_, tokens in said) / len(said)
            print(f"{name:38} {right / len(sums):5.0%} [{low:.0%}, {high:.0%}] n={len(sums)}, {mean:.0f} tokens each")
            for text, (_, told, tokens) in zip(
                OPEN_QUESTIONS, await asyncio.gather(*(one(text, thinking) for text in OPEN_QUESTIONS)), strict=True
            ):
                print(f"    {text}  ->  {told[:220]!r} ({tokens})", flush=True)
    finally:
        await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
