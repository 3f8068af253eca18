"""What runs a person's own task file: `python -m clearseek.tasks.python_task_child FILE`, JSON lines both ways."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

MAX_PROBLEM = 1 << 20


def main(file: Path) -> None:
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the file prints is no reply
    try:
        module = _load(file)
    except BaseException as error:
        print(json.dumps({"error": f"{file.name} cannot be read: {_said(error)}"}), file=replies, flush=True)
        return
    print(json.dumps({"ready": True}), file=replies, flush=True)
    for line in sys.stdin:
        try:
            reply = _answer(module, json.loads(line))
        except Exception as error:
            reply = {"error": _said(error)}
        print(json.dumps(reply), file=replies, flush=True)


def _load(file: Path) -> ModuleType:
    sys.path.insert(0, str(file.parent))  # files beside it can be imported
    spec = importlib.util.spec_from_file_location("clearseek_own_task", file)
    if spec is None or spec.loader is None:
        raise ImportError("it is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _answer(module: ModuleType, question: dict[str, Any]) -> dict[str, Any]:
    match question["do"]:
        case "what":
            return {"has": [name for name in ("make", "score", "solve") if callable(getattr(module, name, None))]}
        case "make":
            problem = module.make(random.Random(question["seed"]), question["index"])
            if not isinstance(problem, dict):
                raise TypeError(f"it returned {type(problem).__name__}, and a problem is a dict")
            if isinstance(problem.get("answer"), int | float):
                problem = {**problem, "answer": str(problem["answer"])}
            if len(json.dumps(problem)) > MAX_PROBLEM:
                raise ValueError("the problem is larger than 1 MB")
            return {"problem": problem}
        case "score":
            accuracy = float(module.score(question["problem"], question["answer"]))
            if not math.isfinite(accuracy) or not 0.0 <= accuracy <= 1.0:
                raise ValueError(f"it returned {accuracy}, and a score is from 0 to 1")
            return {"accuracy": accuracy}
        case "solve":
            thinking, answer = module.solve(question["problem"], random.Random(question["seed"]))
            return {"solution": [str(thinking), str(answer)]}
        case other:
            raise ValueError(f"no such question: {other}")


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().rstrip(".:")[:300]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
