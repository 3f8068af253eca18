"""What an answer took, as the ledger has it: quantities with their bases, and the entry that books them."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE messages ADD COLUMN spent JSON")
