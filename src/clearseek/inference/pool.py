"""Every engine the server has, by model name, behind one bounded queue. (Being written; the signatures stand.)"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from clearseek.hub.store import Store
from clearseek.inference.engine import Description, Event, Request
from clearseek.settings import Settings


@dataclass(frozen=True)
class PoolStats:
    """For `/health` and `/metrics`. Counters only grow."""

    running: int = 0
    waiting: int = 0
    capacity: int = 0
    refused_total: int = 0
    abandoned_total: int = 0
    """Requests whose client went away before the end."""
    engine_restarts_total: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    """`prompt`, `cached`, `completion`, `reasoning`: tokens so far, all requests together."""


class Pool:
    def __init__(self, settings: Settings, store: Store) -> None: ...

    async def models(self) -> list[Description]:
        """What can answer now, the default model first."""
        ...

    async def resolve(self, name: str | None) -> str:
        """The canonical name (None: the default model). Raises UnknownModel, with the nearest name."""
        ...

    def generate(
        self, model: str | None, request: Request, *, request_id: str, client: str = "local"
    ) -> AsyncGenerator[Event, None]:
        """Queue, then generate. Refuses at once (Busy) from the first `anext`; closing the generator, or cancelling
        the task that reads it, frees its place. `client` is who asks, for fairness between clients."""
        ...

    async def cancel(self, request_id: str) -> None: ...

    def stats(self) -> PoolStats: ...

    async def close(self) -> None: ...
