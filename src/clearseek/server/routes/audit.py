"""`/api/audit`: the shipped claims, and one of them examined with some of its inputs moved (docs/page-api.md)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from clearseek.errors import UserError
from clearseek.server.errors import ApiError

router = APIRouter(prefix="/api/audit")

Word = Annotated[str, StringConstraints(max_length=80)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Moved(BaseModel):
    """A number with its unit; `low` and `high` make it an interval."""

    model_config = ConfigDict(extra="forbid")
    value: Number | Word | None = None
    low: Number | Word | None = None
    high: Number | Word | None = None
    unit: Word | None = None


class Question(BaseModel):
    model_config = ConfigDict(extra="forbid")
    claim: Word
    set: Annotated[dict[Word, Moved | Word | Number], Field(max_length=40)] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0, le=2**31)] = 0
    draws: Annotated[int, Field(ge=0, le=20_000)] = 10_000


@router.get("/claims")
def claims() -> list[dict[str, Any]]:
    """Every shipped claim with its verdict in a line."""
    from clearseek.audit.summary import summaries  # numpy with it: not while the server starts

    return [summary.as_json() for summary in summaries()]


@router.post("")
def audit(question: Question) -> dict[str, Any]:
    """The examination of a shipped claim; 404 for a name that is not there, 422 for an input that cannot be."""
    from clearseek.audit import examine, library, load_claim

    if question.claim not in library.names():
        raise ApiError(404, f"There is no claim `{question.claim}`.", param="claim")
    changes = {
        path: value.model_dump(exclude_none=True) if isinstance(value, Moved) else value
        for path, value in question.set.items()
    }
    try:
        claim = load_claim(question.claim, changes=changes)
        return examine(claim, seed=question.seed, draws=question.draws).as_json()
    except UserError as error:
        raise ApiError(422, str(error), param="set") from None
