"""A child that scores what strangers wrote: `python -m clearseek.tasks.worker math` or `... generator`.

It imports what it needs, goes behind walls (no network, no files but Python's own, no programs), says hello, and then
answers one JSON line with one JSON line. Whoever asks bounds the time and ends it.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from clearseek.tasks import confinement

MEMORY = 6 << 30
"""Address space, not use: numpy and its threads reserve much more than they touch."""


def main(kind: str) -> None:
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no reply
    warnings.simplefilter("ignore")
    try:
        answer = KINDS[kind]()
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=replies, flush=True)
        return
    folders = [*confinement.folders_of_python(), "/usr/share/zoneinfo", "/lib", "/lib64", "/usr/lib", "/usr/lib64"]
    import resource  # noqa: F401  (before its file may be out of reach)

    confinement.cut_off()
    confinement.wall_in(folders, [])
    confinement.limit(MEMORY, None, 0)
    confinement.install_audit_hook(folders, [], modules=True)
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(reply), file=replies, flush=True)


def _math() -> Callable[[dict[str, Any]], dict[str, Any]]:
    from clearseek.tasks.verifiers.mathematics import reply_of

    # sympy imports parts of itself, and builds tables, at their first use
    warm = {"expression": False, "absolute": "0"}
    reply_of({"reference": "\\sqrt{2} + 1", "answer": "\\frac{2+\\sqrt{8}}{2}", **warm})
    reply_of({"reference": "2\\sin x \\cos x", "answer": "\\sin 2x", **warm})
    return reply_of


def _generator() -> Callable[[dict[str, Any]], dict[str, Any]]:
    from clearseek.tasks.generators import Chunks, generator_names, plain_item

    generator_names()  # imports the package, with all that it imports, while files and modules can still be had
    made: dict[str, Chunks] = {}

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        key = json.dumps([question["generator"], question["config"]], sort_keys=True)
        if key not in made:
            made.clear()
            made[key] = Chunks(question["generator"], question["config"])
        dataset, item = made[key].item(question["seed"])
        if question["do"] == "make":
            return plain_item(question["generator"], item)
        return {"accuracy": float(dataset.score_answer(question["answer"], item))}

    return answer


KINDS: dict[str, Callable[[], Callable[[dict[str, Any]], dict[str, Any]]]] = {"math": _math, "generator": _generator}

if __name__ == "__main__":
    main(sys.argv[1])
