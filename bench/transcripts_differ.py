"""How many transcripts of two evaluations of the same problems differ: give it the two .jsonl files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Key = tuple[str, int]


def transcripts(file: str) -> dict[Key, dict[str, Any]]:
    rows = map(json.loads, Path(file).read_text("utf-8").splitlines()[1:])  # the first line holds the conditions
    return {(row["problem"], row["sample"]): row for row in rows}


def main() -> None:
    one, two = map(transcripts, sys.argv[1:3])
    both = sorted(one.keys() & two.keys())
    said = sum((one[key]["thinking"], one[key]["answer"]) != (two[key]["thinking"], two[key]["answer"]) for key in both)
    scores = sum(one[key]["accuracy"] != two[key]["accuracy"] for key in both)
    print(f"{len(both)} transcripts in both, {said} differ, {scores} scores differ")


if __name__ == "__main__":
    main()
