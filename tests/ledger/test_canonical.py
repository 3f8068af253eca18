"""Our way of writing canonical JSON, against the reference implementation of RFC 8785."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clearseek.errors import UsageError
from clearseek.ledger.canonical import canonical

NUMBERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53) + 1, 2**53 - 1))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)


@pytest.mark.slow
@given(VALUES)
@settings(max_examples=400)
@example({"\ue000": 1, "\U00010000": 2})  # sorted by UTF-16, not by code point
@example([1e21, 1e-7, 1e-5, 123456789012345680000.0, -0.0, 5e-324, 1e15, 999999999999999.9, 0.0001, 9007199254740991])
@example('\x00\x08\x0c\x1f\x7f\u2028"\\/é')
def test_it_is_what_the_reference_writes(value: object) -> None:
    written = canonical(value)
    assert written == rfc8785.dumps(value)
    assert canonical(json.loads(written)) == written


@pytest.mark.parametrize(
    "wrong", [float("nan"), float("inf"), 2**53 + 1, 10**400, "\ud800", {1: 2}, b"bytes", {"a": object()}]
)
def test_what_json_cannot_say(wrong: object) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        canonical({"x": wrong})
