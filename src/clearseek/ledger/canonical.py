"""Canonical JSON (RFC 8785): the one way to write a document down, so that its hash means something."""

from __future__ import annotations

from typing import Any

from clearseek.errors import UsageError

MAX_INTEGER = 2**53
_MOST_DIGITS = 10**21


def canonical(value: Any) -> bytes:
    """`value` (dicts with text keys, lists, text, numbers, booleans, None) as RFC 8785 bytes.

    Raises UsageError for what JSON cannot say: NaN, infinity, integers that no double is, half a character.
    """
    import rfc8785

    try:
        return rfc8785.dumps(_doubles(value))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"This cannot be written as JSON: {error}.") from None


def _doubles(value: Any) -> Any:
    """The same with every large integer as the double that it is, or that it is how JSON writes; others stay as they
    are. A double such as 2.5e16 is written as `25000000000000000`, and read back as an integer."""
    import rfc8785

    if type(value) is int and MAX_INTEGER <= abs(value) < _MOST_DIGITS:
        double = float(value)
        return double if int(double) == value or rfc8785.dumps(double) == str(value).encode() else value
    if isinstance(value, dict):
        return {key: _doubles(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_doubles(part) for part in value]
    return value
