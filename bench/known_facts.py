"""What arithmetic a model knows by heart: after eight examples, is the whole result its most likely continuation?

    python bench/known_facts.py MODEL.gguf [--n 24]

This is what the steps of worked solutions were cut by: what is not known must be taught, so it had better be little.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from clearseek.modeling import load_model
from clearseek.modeling.tokenizer import Tokenizer
from clearseek.modeling.tokenizer_files import load_tokenizer

Ask = Callable[[random.Random], tuple[str, int]]
SHOTS = 8


def plus(least: int, most: int, least_b: int, most_b: int) -> Ask:
    def ask(rng: random.Random) -> tuple[str, int]:
        a, b = rng.randint(least, most), rng.randint(least_b, most_b)
        return f"{a}+{b}=", a + b

    return ask


def minus(rng: random.Random) -> tuple[str, int]:
    b, a = sorted((rng.randint(10, 99), rng.randint(10, 99)))
    return f"{a}-{b}=", a - b


def times(rng: random.Random) -> tuple[str, int]:
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    return f"{a}*{b}=", a * b


KINDS: dict[str, Ask] = {
    "one digit + one digit": plus(1, 9, 1, 9),
    "one digit * one digit": times,
    "two digits + one digit": plus(10, 99, 1, 9),
    "two digits + two digits": plus(10, 99, 10, 99),
    "three digits + two digits": plus(100, 999, 10, 99),
    "two digits - two digits": minus,
}


def known(model: torch.nn.Module, tokenizer: Tokenizer, ask: Ask, n: int, rng: random.Random) -> float:
    """The share of `n` questions whose every digit, and the end of the line, is the most likely token."""
    rows = []
    for _ in range(n):
        asked = [ask(rng) for _ in range(SHOTS + 1)]
        text = "".join(f"{question}{answer}\n" for question, answer in asked)
        answer = asked[-1][1]
        before = tokenizer.encode(text.removesuffix(f"{answer}\n"))
        rows.append((len(before), tokenizer.encode(text)))
    longest = max(len(ids) for _, ids in rows)
    ids_BT = torch.tensor([ids + [0] * (longest - len(ids)) for _, ids in rows])
    with torch.no_grad():
        likely_BT = model(ids_BT).argmax(-1)
    right = [
        all(int(likely_BT[row, place - 1]) == ids[place] for place in range(start, len(ids)))
        for row, (start, ids) in enumerate(rows)
    ]
    return sum(right) / n


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--n", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    model, tokenizer = load_model(told.model), load_tokenizer(told.model)
    for kind, ask in KINDS.items():
        share = known(model, tokenizer, ask, told.n, random.Random(f"{told.seed}/{kind}"))
        print(f"| {kind} | {share:.2f} |", flush=True)


if __name__ == "__main__":
    main()
