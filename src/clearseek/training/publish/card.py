"""A model card out of a run folder: what the model is, what it was made of and with, what it can do, what it took.

A Markdown file with a YAML header, as Hugging Face reads it. Every figure comes from the run's ledger, its notes and
its evaluations, with its basis; what is not there is not said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from clearseek.errors import UserError
from clearseek.ledger.book import Book
from clearseek.ledger.quantity import Quantity
from clearseek.receipts import arithmetic
from clearseek.receipts.check_files import Places
from clearseek.receipts.lineage import Lineage, ancestors
from clearseek.receipts.predicate import Statement
from clearseek.receipts.statement import RECEIPT
from clearseek.receipts.words import NAMES
from clearseek.report.figures import basis_words, say

MAX_JSON_BYTES = 16 << 20
SHOWN = ("wall", "prompt_tokens", "completion_tokens", "flops", "money")
LIMITS = (
    "It is a small model. It knows little, errs often and sounds sure of it: check what it says.",
    "It learned from problems whose answers a program can check. Outside of such tasks its thinking is an imitation of "
    "thinking, and what it thinks need not be why it answers as it does.",
    "It was not trained to refuse anything, nor tested for bias; whatever its base learned of either is still in it.",
    "English only, as far as anybody looked.",
)


@dataclass(frozen=True, slots=True)
class Card:
    """What only the export knows."""

    name: str
    base: str | None
    base_on_hub: str | None
    licence: str | None
    sha256: str | None
    adapter_error: float | None
    kinds: tuple[str, ...] = ()
    """Of the run's stages."""


def card_text(run: Path, card: Card) -> str:
    """The whole card. Raises UserError for notes or evaluations that are not JSON."""
    notes = _read(run / "run.json")
    parts = [
        *_header(card, notes),
        f"# {card.name}\n",
        _what(card),
        "## Use\n",
        f"```text\nclearseek chat --model {card.name}\n```\n",
        "With `transformers`, from the folder `model/`; with llama.cpp, the file `model.gguf`, or `adapter.gguf` over "
        "the base. The chat template opens the thinking: the model goes on after `<think>`, closes it with "
        "`</think>`, and then answers.\n",
        *_evaluations(run),
        *_said(notes),
        *_data(notes),
        *_cost(run, notes),
        "## Limits\n",
        *(f"- {limit}" for limit in LIMITS),
        "",
        "## Proof\n",
        "`receipt.json` binds these weights to the recipe, the data, the code and the ledger of the run: "
        "`clearseek receipt verify receipt.json` checks it, and says what no receipt can prove.\n",
    ]
    return "\n".join(parts).rstrip() + "\n"


def _header(card: Card, notes: Mapping[str, Any]) -> list[str]:
    licence = (card.licence or "").lower() or "other"
    lines = ["---", f"license: {_yaml(licence)}", "language:", "- en", "pipeline_tag: text-generation"]
    lines += ["library_name: transformers"]
    if card.base_on_hub:
        lines += [f"base_model: {_yaml(card.base_on_hub)}"]
    kinds = [f"- {kind}" for kind in dict.fromkeys(card.kinds) if kind.isalpha()]
    lines += ["tags:", "- clearseek", "- reasoning", *kinds, f"model_name: {_yaml(card.name)}", "---", ""]
    return lines


def _yaml(text: str) -> str:
    """A text as YAML reads it whatever is in it: JSON's form is YAML's."""
    return json.dumps(text, ensure_ascii=False)


def _what(card: Card) -> str:
    over = f" It was trained from {card.base_on_hub or card.base}." if card.base else " It was trained from nothing."
    what = f"A language model that thinks before it answers, trained with ClearSeek.{over}"
    if card.sha256:
        what += f" The file that is served, `model.gguf` (Q8_0), has the SHA-256 `{card.sha256}`."
    if card.adapter_error is not None:
        what += (
            " What was learned is an adapter; writing it down cost "
            f"{card.adapter_error:.2%} of it (relative error in the Frobenius norm, mean over layers)."
        )
    return what + "\n"


def _evaluations(run: Path) -> Iterator[str]:
    files = sorted((run / "evaluations").glob("*.json"), key=_in_time)
    if not files:
        return
    yield "## Evaluations\n"
    columns: dict[str, dict[str, Quantity]] = {}
    for path in files:
        read = _read(path)
        try:
            columns[str(read.get("name", path.stem))] = arithmetic.from_json(read["results"])
        except (KeyError, TypeError, AttributeError):
            raise UserError(f"{path} is no evaluation.") from None
    rows = list(dict.fromkeys(name for results in columns.values() for name in results))
    yield f"| | {' | '.join(_cell(name) for name in columns)} |"
    yield f"|---|{'---|' * len(columns)}"
    for row in rows:
        result = (say(results[row]) if row in results else "" for results in columns.values())
        yield f"| {_cell(row)} | {' | '.join(_cell(text) for text in result)} |"
    how = list(dict.fromkeys(basis_words(quantity) for results in columns.values() for quantity in results.values()))
    yield ""
    yield "Of each figure in `evaluations/`: how it was found. For example:\n"
    yield from (f"- {text}" for text in how[:3])
    yield ""


def _in_time(path: Path) -> tuple[bool, bool, bool, str]:
    """Before training first, after it and as served last."""
    stem = path.stem
    return "before" not in stem, "served" in stem, "after" in stem, stem


def _said(notes: Mapping[str, Any]) -> Iterator[str]:
    """What the run had to say of itself."""
    if message := str(notes.get("notes") or ""):
        yield "## What the run says\n"
        yield " ".join(message.split()) + "\n"


def _data(notes: Mapping[str, Any]) -> Iterator[str]:
    data = notes.get("data")
    if not isinstance(data, list) or not data:
        return
    yield "## Data\n"
    yield "| name | what | licence | SHA-256 |"
    yield "|---|---|---|---|"
    for one in data:
        digests = ", ".join(f"`{str(file.get('sha256', ''))[:16]}`" for file in one.get("distribution", []))
        name, what, licence = (_cell(str(one.get(key, ""))) for key in ("name", "description", "license"))
        yield f"| {name} | {what} | {licence or 'not said'} | {digests} |"
    yield ""


def _cost(run: Path, notes: Mapping[str, Any]) -> Iterator[str]:
    books = arithmetic.add_books(Book(run / "ledger.jsonl").read())
    if not books.stages:
        return
    sums = [stage.quantities() for stage in books.stages]
    total = arithmetic.totals(sums)
    yield "## What it took\n"
    yield from _table("stage", [*zip((stage.name for stage in books.stages), sums, strict=True), ("all", total)])
    for key in (name for name in NAMES if name in total):
        why = total[key].how if total[key].value is None else basis_words(total[key])
        yield f"- {NAMES[key]}: {say(total[key])}; {why}."
    yield ""
    yield from _lineage(run, notes, total)


def _lineage(run: Path, notes: Mapping[str, Any], total: Mapping[str, Quantity]) -> Iterator[str]:
    """What the runs before this one took, as far as their receipts are within reach, and all of them together."""
    parents = notes.get("parents")
    if not isinstance(parents, list) or not parents:
        return
    before = tuple(ancestors({"parents": parents}, Places(run / RECEIPT, None)))
    this = {"run": {"name": run.name}, "totals": arithmetic.as_json(total)}
    lineage = Lineage(cast(Statement, {"predicate": this}), before)
    many = "the earlier run" if len(before) == 1 else f"the {len(before)} earlier runs"
    yield f"## What it took, with {many} that it builds on\n"
    rows = [(name, arithmetic.from_json(predicate["totals"])) for name, predicate in lineage.runs]
    yield from _table("run", [*rows, ("all runs", lineage.totals())])
    if lineage.missing:
        yield f"- Not within reach: {', '.join(map(_cell, lineage.missing))}; so the sums are not known.\n"


def _table(what: str, rows: Iterable[tuple[str, Mapping[str, Quantity]]]) -> Iterator[str]:
    yield f"| {what} | time | tokens in | tokens out | computation | money |"
    yield "|---|---|---|---|---|---|"
    for name, quantities in rows:
        cells = (say(quantities[key]) if key in quantities else "not booked" for key in SHOWN)
        yield f"| {_cell(name) or '(outside the stages)'} | {' | '.join(cells)} |"
    yield ""


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_bytes()[:MAX_JSON_BYTES])
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}.") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} must be a JSON object.")
    return data
