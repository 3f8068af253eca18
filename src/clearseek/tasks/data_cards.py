"""Data cards: what a run's problems are, where they come from, and the digest by which to know them again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clearseek.tasks.near_duplicates import scan
from clearseek.tasks.splits import OutOfProblems, draw
from clearseek.tasks.task import Problem, Task

_SPDX = {"Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0"}
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def digest_of(problems: Iterable[Problem]) -> str:
    """SHA-256 over the sorted digests of the questions and their answers: the same set is the same digest."""
    lines = sorted(f"{problem.digest} {hashlib.sha256(problem.answer.encode()).hexdigest()}" for problem in problems)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def data_card(task: Task, used: Mapping[str, Sequence[Problem]]) -> dict[str, Any]:
    """The task's card with what was used of it, by split: how many problems, and their digest. All of it JSON."""
    return {
        "name": task.name,
        **{key: value for key, value in task.card.items() if value is not None},
        "used": {split: {"problems": len(found), "sha256": digest_of(found)} for split, found in used.items()},
        "size_bytes": sum(
            len(one.prompt.encode()) + len(one.answer.encode()) for each in used.values() for one in each
        ),
    }


def croissant(
    card: Mapping[str, Any], file: str = "", sha256: str = "", size: int = 0, published: str = "2026-01-01"
) -> dict[str, Any]:
    """The card as Croissant 1.0 metadata (JSON-LD, https://docs.mlcommons.org/croissant/docs/croissant-spec.html).

    With `file`, a JSONL file of problems beside it (`prompt`, `answer`), its fields are described too. Problems that
    a generator makes anew from seeds need no file: the description then says how.
    """
    license_name = str(card.get("license", "unknown"))
    how = f"{card.get('generator')} {card.get('version', '')}".strip()
    used = ", ".join(
        f"{split}: {one['problems']} problems, sha256 {one['sha256']}" for split, one in card.get("used", {}).items()
    )
    metadata: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": re.sub(r"[^A-Za-z0-9_-]", "_", str(card["name"])),
        "description": f"{card.get('description', '')} Made by {how}. {used}".strip(),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": _SPDX.get(license_name, license_name),
        "url": card.get("url", f"urn:clearseek:task:{card['name']}"),
        "version": "1.0.0",
        "datePublished": published,
        "citeAs": how,
        "isLiveDataset": False,
    }
    if file:
        identity = file.rsplit("/", 1)[-1]
        metadata["distribution"] = [
            {
                "@type": "cr:FileObject",
                "@id": identity,
                "name": identity,
                "contentUrl": file,
                "contentSize": f"{size} B",
                "encodingFormat": "application/jsonlines",
                "sha256": sha256,
            }
        ]
        metadata["recordSet"] = [
            {
                "@type": "cr:RecordSet",
                "@id": "problems",
                "name": "problems",
                "field": [_field(name, identity) for name in ("prompt", "answer")],
            }
        ]
    return metadata


def _field(name: str, file: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"problems/{name}",
        "name": name,
        "dataType": "sc:Text",
        "source": {"fileObject": {"@id": file}, "extract": {"column": name}},
    }


def data_report(
    task: Task, dev: int, test: int, seed: int = 0, sample: int = 1000, trained: bool = True
) -> dict[str, Any]:
    """Everything a run says of a task's data: `{"card", "croissant", "near"}`, all of it JSON.

    `dev` and `test` are how many problems it is evaluated on, drawn with `seed`; `near` says how the test problems lie
    to `sample` problems of those that may be trained on. A task that is never trained on has no `near`.
    """
    kept = {"dev": draw(task, "dev", dev, seed) if dev else [], "test": draw(task, "test", test, seed) if test else []}
    report: dict[str, Any] = {}
    if trained and kept["test"]:
        avoid = frozenset(problem.digest for problems in kept.values() for problem in problems)
        try:
            seen = draw(task, "train", sample, seed, avoid)
        except OutOfProblems as short:
            seen = draw(task, "train", short.found, seed, avoid) if short.found else []
        report["near"] = scan(seen, kept["test"]).as_data()
    card = data_card(task, kept)
    return {"card": card, "croissant": croissant(card), **report}
