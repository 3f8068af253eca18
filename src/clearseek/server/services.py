"""What the routes share: one object at `app.state.services`, made when the server starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clearseek.ledger.book import home_book
from clearseek.server.books import Chain
from clearseek.server.metrics import Metrics
from clearseek.settings import Settings

if TYPE_CHECKING:
    from clearseek.conversations.store import ChatStore
    from clearseek.hub.store import Store
    from clearseek.inference.accounting import Accounting
    from clearseek.inference.pool import Pool
    from clearseek.server.generations import Generations


@dataclass(slots=True)
class Services:
    settings: Settings
    store: Store
    pool: Pool
    chats: ChatStore
    generations: Generations
    metrics: Metrics = field(default_factory=Metrics)
    books: Accounting | None = None
    """None where nothing is booked."""
    chain: Chain = field(default_factory=lambda: Chain(home_book()))
