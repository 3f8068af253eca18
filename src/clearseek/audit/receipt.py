"""One of our own receipts as a claim, so that the same arithmetic looks at it.

Only what the statement says is read. Whether its signature, digests and ledger hold is another question, which
`clearseek receipt verify` answers.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearseek.audit import chips
from clearseek.audit.claim import Claim, read_claim
from clearseek.audit.numbers import clean
from clearseek.errors import UsageError

MAX_FILE = 16_000_000
_PREDICATE = "urn:clearseek:training-receipt:v1"
_TOKENS = ("prompt_tokens", "completion_tokens")


def load(path: Path, changes: Mapping[str, Any] | None = None) -> Claim:
    """The claim that a receipt makes. Raises UsageError for a file that is no receipt of a kind known here."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"The receipt {path} cannot be read: {error.strerror or error}.") from None
    if len(content) > MAX_FILE:
        raise UsageError(f"{path.name} is larger than {MAX_FILE // 1_000_000} MB: a receipt is not.")
    try:
        envelope = json.loads(content)
        statement = json.loads(base64.b64decode(envelope["payload"], validate=True))
        predicate, kind = statement["predicate"], statement["predicateType"]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise UsageError(f"{path.name} is no receipt: a signed envelope with a statement was expected.") from None
    if kind != _PREDICATE:
        raise UsageError(f"{path.name} is a statement of the kind {str(kind)[:80]!r}; known here is {_PREDICATE}.")
    try:
        raw = _as_claim(predicate)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UsageError(
            f"{path.name} does not hold what a receipt holds; `clearseek receipt verify` says more."
        ) from None
    return read_claim(raw, path.stem, changes=changes)


def _as_claim(predicate: dict[str, Any]) -> dict[str, Any]:
    run, machine, totals = predicate["run"], predicate["machine"], predicate["totals"]
    stages = predicate["stages"]
    accelerators = [clean(str(name), "machine.accelerators") for name in machine.get("accelerators") or []]
    count = max(len(accelerators), 1)
    claim: dict[str, Any] = {
        "title": f"The receipt of {clean(str(run['name']), 'run.name')}",
        "date": str(run["finished_at"])[:10],
        "scope": "final-run",
        "summary": f"Made by ClearSeek in {len(stages)} stage{'s' if len(stages) != 1 else ''}, metered as it ran.",
        "notes": [
            "This looks at the arithmetic only. `clearseek receipt verify` looks at signature, digests and ledger, and "
            "says what no receipt can prove."
        ],
        "sources": ["the receipt's own statement"],
        "data": {},
        "hardware": {"count": {"value": str(count), "source": "the receipt's machine", "provenance": "primary"}},
        "run": {"work": "metered"},
    }
    chip = _chip(accelerators)
    if chip:
        claim["hardware"]["chip"] = chip
    else:
        which = accelerators[0] if accelerators else machine.get("processor") or "this machine"
        claim["notes"].append(
            f"The peak of {clean(str(which), 'machine')} is not in the table, so there is no utilisation; "
            '--set "hardware.peak=0.4 TFLOP/s" gives one.'
        )
    tokens = _sum(totals, _TOKENS)
    if tokens:
        by_stage = _added([_sum(stage["quantities"], _TOKENS) for stage in stages])
        claim["data"]["tokens"] = [_number(tokens, "token", "totals"), *_second(by_stage, "token", "the stages, added")]
    for name, path, unit in (("flops", "flops", "FLOP"), ("money", "usd", "USD"), ("energy", "energy", "J")):
        whole = totals.get(name)
        if not whole or not whole.get("value"):
            continue
        second = _added([stage["quantities"].get(name) for stage in stages])
        claim["run"][path] = [_number(whole, unit, f"totals.{name}"), *_second(second, unit, "the stages, added")]
        if name == "flops":
            claim["run"][path] += _second(_by_formula(stages), unit, "tokens x FLOP per token, by stage")
    if (totals.get("wall") or {}).get("value"):
        claim["run"]["wall_time"] = _number(totals["wall"], "s", "totals.wall")
    return claim


def _chip(names: list[str]) -> str | None:
    if not names or len(set(names)) > 1:
        return None
    try:
        return chips.find(names[0])[0].name
    except UsageError:
        return None


def _number(quantity: dict[str, Any], unit: str, where: str) -> dict[str, Any]:
    number = {
        "value": float(quantity["value"]),
        "unit": unit,
        "basis": quantity["basis"],
        "source": where,
        "provenance": "primary",
    }
    low, high = quantity.get("low"), quantity.get("high")
    if low is not None and high is not None and float(low) > 0:
        number |= {"low": float(low), "high": float(high)}
    return number


def _second(value: float | None, unit: str, where: str) -> list[dict[str, Any]]:
    if not value:
        return []
    return [{"value": value, "unit": unit, "basis": "modelled", "source": where, "provenance": "derived"}]


def _sum(quantities: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any] | None:
    """One quantity of several, as strong as the first; None where all are missing or one is unknown."""
    parts = [quantities[name] for name in names if name in quantities]
    if not parts or any(part.get("value") is None for part in parts):
        return None
    whole = sum(float(part["value"]) for part in parts)
    return {"value": whole, "basis": parts[0]["basis"]} if whole > 0 else None


def _added(parts: list[dict[str, Any] | None]) -> float | None:
    known = [float(part["value"]) for part in parts if part and part.get("value") is not None]
    return sum(known) if known else None


def _by_formula(stages: list[dict[str, Any]]) -> float | None:
    """Tokens times FLOP per token over all stages; None unless every stage says its FLOP per token."""
    total = 0.0
    for stage in stages:
        each = stage.get("flops_per_token") or {}
        if not each:
            return None
        for name, per in each.items():
            tokens = stage["quantities"].get(name)
            if not tokens or tokens.get("value") is None or per.get("value") is None:
                return None
            total += float(tokens["value"]) * float(per["value"])
    return total
