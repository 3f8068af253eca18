"""Receipts of training runs: made, signed, shown and checked; and origin cards for models that others made.

from clearseek.receipts import verify
verify("runs/first/receipt.json").ok
"""

from clearseek.receipts.verify import Check, Verification, verify

__all__ = ["Check", "Verification", "verify"]
