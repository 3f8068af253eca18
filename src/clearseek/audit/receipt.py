"""One of our own receipts as a claim, so that the same arithmetic looks at it.

A receipt that builds on others is about the last of several runs, and what made the model is all of them: so their
receipts are read too, where they lie beside it, and the claim is about the sum. Where one is not there, the claim is
about one stage of making the model, and says so.

Only what the statements say is read. Whether its signature, digests and ledger hold is another question, which
`clearseek receipt verify` answers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearseek.audit import chips
from clearseek.audit.claim import Claim, read_claim
from clearseek.audit.numbers import clean
from clearseek.errors import UsageError
from clearseek.ledger import processors

MAX_FILE = 16_000_000
_PREDICATE = "urn:clearseek:training-receipt:v1"
_WEAKER = ("measured", "modelled", "declared", "unknown")
MOST_NEAR, MOST_RUNS = 1000, 64
_TOKENS = ("prompt_tokens", "completion_tokens")


def load(path: Path, changes: Mapping[str, Any] | None = None) -> Claim:
    """The claim that a receipt makes. Raises UsageError for a file that is no receipt of a kind known here."""
    predicate = _predicate(path)
    try:
        raw = _as_claim(predicate, *_ancestors(predicate, path))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UsageError(
            f"{path.name} does not hold what a receipt holds; `clearseek receipt verify` says more."
        ) from None
    return read_claim(raw, path.stem, changes=changes)


def _predicate(path: Path) -> dict[str, Any]:
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
    fields: dict[str, Any] = predicate
    return fields


def _ancestors(predicate: dict[str, Any], path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Predicates of all the receipts that this one builds on, and the names of those that are not beside it."""
    if not predicate.get("parents"):
        return [], []
    near: dict[str, Path] = {}
    for folder in (path.parent / "parents", path.parent):
        for file in sorted(folder.glob("*.json"))[:MOST_NEAR]:
            if file.is_file() and file.stat().st_size <= MAX_FILE:
                near.setdefault(hashlib.sha256(file.read_bytes()).hexdigest(), file)
    fields: dict[str, dict[str, Any]] = {}
    missing: list[str] = []
    waiting = list(predicate["parents"])
    while waiting and len(fields) < MOST_RUNS:
        parent = waiting.pop(0)
        wanted = str(parent["digest"]["sha256"])
        if wanted in fields:
            continue
        if wanted not in near:
            missing.append(clean(str(parent["name"]), "parents"))
            continue
        fields[wanted] = _predicate(near[wanted])
        waiting += fields[wanted].get("parents", [])
    return list(fields.values()), missing


def _as_claim(own: dict[str, Any], others: list[dict[str, Any]], missing: list[str]) -> dict[str, Any]:
    runs = [own, *others]
    names = [clean(str(run["run"]["name"]), "run.name") for run in runs]
    predicate = own if missing or not others else _together(runs)
    claim = _one_claim(predicate)
    if missing:
        claim["scope"] = "stage"
        claim["notes"].insert(
            0,
            f"This is the last of {len(runs) + len(missing)} runs at least, and the only one in these figures: the "
            f"receipt of {', '.join(dict.fromkeys(missing))} is not beside it.",
        )
    elif others:
        claim["title"] = f"The receipts of {names[0]} and of the {len(others)} that it builds on"
        claim["summary"] = (
            f"{len(runs)} runs of ClearSeek made this model, metered as they ran: {', '.join(reversed(names))}. "
            "The figures are of all of them."
        )
        claim["sources"] = ["the receipts' own statements"]
        for key, what in (("money", "money"), ("energy", "energy")):
            without = [name for name, one in zip(names, runs, strict=True) if _unknown(one, key)]
            if without and len(without) < len(runs):
                claim["notes"].append(
                    f"The {what} of {len(without)} of {len(runs)} runs is unknown ({', '.join(without)}), so that of "
                    "all is."
                )
    return claim


def _unknown(predicate: dict[str, Any], key: str) -> bool:
    return (predicate["totals"].get(key) or {}).get("value") is None


def _together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One predicate with the sums of all: a quantity that is unknown of one is unknown of all."""
    own = runs[0]
    totals: dict[str, Any] = {}
    for key in {key for run in runs for key in run["totals"]}:
        parts = [run["totals"].get(key) for run in runs]
        if key in ("wall", "cpu", "energy", "money", "flops"):
            known = all(part and part.get("value") is not None for part in parts)
        else:  # tokens: none are booked where there were none
            parts = [part for part in parts if part]
            known = all(part and part.get("value") is not None for part in parts)
        there = [part for part in parts if part]
        whole = {**there[0], "basis": max((part["basis"] for part in there), key=_WEAKER.index)}
        for end in ("low", "high"):
            whole.pop(end, None)
            if known and any(part.get(end) is not None for part in there):
                whole[end] = sum(float(part["value"] if part.get(end) is None else part[end]) for part in there)
        whole["value"] = sum(float(part["value"]) for part in there) if known else None
        totals[key] = whole
    machine = dict(own["machine"])
    if any(run["machine"] != machine for run in runs):  # the widest of them bounds all
        bounds = [processors.most_flops(run["machine"]) for run in runs]
        widest = max(range(len(runs)), key=lambda index: bounds[index].value or float("inf"))
        machine = dict(runs[widest]["machine"])
    stages = [stage for run in reversed(runs) for stage in run["stages"]]
    return {**own, "totals": totals, "stages": stages, "machine": machine}


def _one_claim(predicate: dict[str, Any]) -> dict[str, Any]:
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
        which = clean(str(accelerators[0] if accelerators else machine.get("processor") or "this machine"), "machine")
        most = processors.most_flops(machine, _dtype(machine)) if not accelerators else None
        if most is not None and most.value is not None and "seen" not in machine:
            peak = {
                "value": round(most.value / 1e12, 6),
                "unit": "TFLOP/s",
                "basis": "declared",
                "source": f"{which}, {most.how}",
            }
            claim["hardware"]["peak"] = {**peak, "provenance": "derived"}
            claim["notes"].append(
                f"The peak is a bound on what {which} can do, {most.how}: it finds what is impossible, and its share "
                'is no utilisation. --set "hardware.peak=0.4 TFLOP/s" sets another.'
            )
        else:
            claim["notes"].append(
                f"The peak of {which} is not known, so there is no utilisation; "
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


def _dtype(machine: dict[str, Any]) -> str | None:
    value = machine.get("arithmetic")
    kinds = {value.get("dtype"), value.get("rollout_dtype")} if isinstance(value, dict) else set()
    return "float32" if kinds == {"float32"} else None


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
