"""What a receipt says, as types: the in-toto statement and the predicate of `training-receipt-v1.schema.json`.

A receipt is read as JSON and held against that schema before anything else looks at it, so its fields are there and of
these kinds (`tests/receipts/test_predicate.py` holds the two to each other). A field that the schema has no rule for
may be anything at all in a receipt from elsewhere: it is an `object` here, and whoever reads it looks what it is first.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class Digest(TypedDict):
    sha256: str


class Size(TypedDict):
    bytes: int


class File(TypedDict):
    name: str
    digest: Digest
    annotations: Size


class QuantityJson(TypedDict):
    """See `ledger.quantity`."""

    value: float | None
    unit: str
    basis: Literal["measured", "modelled", "declared", "unknown"]
    how: str
    low: NotRequired[float | None]
    high: NotRequired[float | None]


Quantities = dict[str, QuantityJson]
"""By name: wall, cpu, gpu, energy, prompt_tokens, ..., flops, bytes, money."""


def value_of(quantities: Quantities, name: str) -> float | None:
    """The value of a quantity; None where it is unknown, or not among them."""
    quantity = quantities.get(name)
    return None if quantity is None else quantity["value"]


class Made(TypedDict):
    at: str
    by: str


class Signer(TypedDict):
    algorithm: str
    public_key: str
    keyid: str


class Run(TypedDict):
    name: str
    started_at: str
    finished_at: str
    notes: NotRequired[str]


class RecipeFile(TypedDict):
    path: str
    digest: Digest
    resolved: dict[str, Any]


class Adapter(TypedDict):
    name: str
    digest: Digest


class Base(TypedDict):
    name: str
    digest: Digest
    source: NotRequired[str]
    adapter: NotRequired[Adapter]


class DataFile(TypedDict):
    sha256: str
    name: NotRequired[str]
    contentUrl: NotRequired[str]
    encodingFormat: NotRequired[str]
    contentSize: NotRequired[str]


class Data(TypedDict):
    """One source of data, in the terms of Croissant."""

    name: str
    distribution: list[DataFile]
    description: NotRequired[object]
    license: NotRequired[object]
    version: NotRequired[object]


class Code(TypedDict):
    name: str
    version: str
    digest: Digest
    files: int


class Machine(TypedDict):
    system: str
    processor: str
    cores: int
    memory: QuantityJson
    accelerators: list[str]
    seen: NotRequired[str]
    arithmetic: NotRequired[object]
    instruction_sets: NotRequired[object]


class Environment(TypedDict):
    python: str
    packages: dict[str, str]


class Stage(TypedDict):
    name: str
    kind: str | None
    entries: int
    entry_kinds: dict[str, int]
    first_entry_at: str
    last_entry_at: str
    quantities: Quantities
    flops_per_token: Quantities
    flops_per_token_bounds: NotRequired[Quantities]


class Attempt(TypedDict):
    attempt: str
    state: str
    why: str
    entries: int
    first_entry_at: str
    last_entry_at: str
    quantities: Quantities


class EvaluationFile(TypedDict):
    name: str
    file: File
    results: Quantities


class Checkpoint(TypedDict):
    name: str
    files: list[File]


class Parent(TypedDict):
    name: str
    digest: Digest


class Ledger(TypedDict):
    path: str
    entries: int
    healed: int
    head: str
    digest: Digest
    annotations: Size


class CannotProve(TypedDict):
    what: str
    why: str
    references: list[str]


class Predicate(TypedDict):
    version: str
    made: Made
    signer: Signer
    run: Run
    recipe: RecipeFile
    base: Base | None
    data: list[Data]
    code: Code
    machine: Machine
    environment: Environment
    prices: Quantities
    stages: list[Stage]
    totals: Quantities
    attempts: list[Attempt]
    evaluations: list[EvaluationFile]
    checkpoints: list[Checkpoint]
    parents: list[Parent]
    ledger: Ledger
    cannot_prove: list[CannotProve]


class Statement(TypedDict):
    """In-toto statement v1."""

    _type: str
    predicateType: str
    subject: list[File]
    predicate: Predicate
