"""Canonical JSON (RFC 8785): the one way to write a document down, so that its hash means something."""

from __future__ import annotations

from typing import Any

import orjson

from clearseek.errors import UsageError

MAX_INTEGER = 2**53
_MOST_DIGITS = 10**21


class _NeedsTheSlowWay(Exception):
    pass


def canonical(value: Any) -> bytes:
    """`value` (dicts with text keys, lists, text, numbers, booleans, None) as RFC 8785 bytes.

    orjson writes a ledger entry in 2 us where the reference implementation takes 100; the two differ only in numbers
    that are very large or small, which are left to the reference one by one, and in how they sort keys outside ASCII:
    a document with such keys is left to it as a whole.
    Raises UsageError for what JSON cannot say: NaN, infinity, integers that no double is, half a character.
    """
    import rfc8785

    try:
        try:
            return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)
        except (_NeedsTheSlowWay, orjson.JSONEncodeError):
            return rfc8785.dumps(_doubles(value))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"This cannot be written as JSON: {error}.") from None


def _plain(value: Any) -> Any:
    """The same with numbers as both writers write them. ECMAScript writes 2.0 as `2`."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is float:
        if value.is_integer() and -MAX_INTEGER < value < MAX_INTEGER:
            return int(value)
        if 1e-4 <= value < 1e15 or -1e15 < value <= -1e-4:
            return value
        return _by_the_reference(value)
    if kind is int:
        return value if -MAX_INTEGER < value < MAX_INTEGER else _by_the_reference(_double(value))
    if kind is dict:
        try:
            ascii_keys = "".join(value).isascii()
        except TypeError:
            ascii_keys = False
        if not ascii_keys:
            raise _NeedsTheSlowWay
        return {key: _plain(part) for key, part in value.items()}
    if kind is list or kind is tuple:
        return [_plain(part) for part in value]
    raise _NeedsTheSlowWay


def _by_the_reference(number: float) -> orjson.Fragment:
    import rfc8785

    return orjson.Fragment(rfc8785.dumps(number))


def _double(value: int) -> float:
    """A large integer as the double that it is, or that it is how JSON writes; others come back as they are.

    A double such as 2.5e16 is written as `25000000000000000`, and read back as an integer.
    """
    import rfc8785

    if abs(value) >= _MOST_DIGITS:
        return value
    double = float(value)
    return double if int(double) == value or rfc8785.dumps(double) == str(value).encode() else value


def _doubles(value: Any) -> Any:
    """The same with every large integer as `_double` has it."""
    if type(value) is int and abs(value) >= MAX_INTEGER:
        return _double(value)
    if isinstance(value, dict):
        return {key: _doubles(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_doubles(part) for part in value]
    return value
