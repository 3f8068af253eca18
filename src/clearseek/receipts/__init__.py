"""Receipts of training runs: made, signed, shown and checked; and origin cards for models that others made."""
