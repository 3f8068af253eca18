"""The expressions of JSON Schema: what the engine may write, Python finds; what is read in two ways is refused."""

from __future__ import annotations

import json
import re
import warnings

import pytest
from byte_writer import ByteWriter

from clearseek.inference.patterns import PatternError, whole

HELD = [
    "^ab|cd$", r"^\W\D$", r"^[[:alpha:]]{2}$", r"^a\\b$", "^(?:ab)+$", r"^[^\w\s]{2}$", r"^[\W_]x$", r"^\S+@\S+\.\S+$",
    "^.$", "a{2,3}?$", "^[a&&b]$", r"^[\]\-a-c]+$", "^{x}$", r"^\u00e9\x41$", "^(a|b)$", "", "^$", "|a",
    "^|^b$",
    r"^\d{3}-\d{4}$", r"[\s\S]", r"^[^\n]*$", "^/[^/]+/$", r"^\/a\/$", "^é+$", r"^[^\D]$", "^😀{2}$", "^#[0-9a-f]{6}$",
    r"^\$\d+\.\d\d$", "^[a-z]+(?:-[a-z]+)*$", r"^[\b\t]$", r"^\0$", "^[-a]$", "^[a-]$", "^a]$", "^[(?=]$", r"^\(\?=\)$",
]  # fmt: skip
REFUSED = [
    ("^(?=a)b$", "looks ahead"),
    ("^(?!a)b$", "looks ahead"),
    ("(?<=a)b", "looks ahead or behind"),
    ("(?<!a)b", "looks ahead or behind"),
    (r"^a\b$", "word boundaries"),
    (r"^\B$", "word boundaries"),
    (r"^(a)\1$", "back to a group"),
    (r"^\k<a>$", "back to a group"),
    (r"^\p{L}{3}$", r"`\p`"),
    (r"^\A$", r"`\A`"),
    ("^(^a)$", "anchor in its middle"),
    ("^(a$|b)$", "anchor in its middle"),
    ("a^", "anchor in its middle"),
    ("$a", "anchor in its middle"),
    ("^(?i)a$", "with a name or with flags"),
    ("^(?P<year>a)$", "with a name or with flags"),
    ("^[]a]$", "two ways"),
    ("^[^]$", "two ways"),
    ("^a{,3}$", "two ways"),
    ("a**", "two ways"),
    ("a++", "two ways"),
    (r"[\d-x]", "range"),
    ("[z-a]", "upside down"),
    ("^[a--z]$", "upside down"),
    ("a{3,2}", "upside down"),
    ("(a", "not closed"),
    ("a)", "closes nothing"),
    ("[a", "too early"),
    ("a\\", "too early"),
    ("*a", "nothing stands before"),
    ("a{3000}", "more than 2000 times"),
    ("^\ud800$", "surrogate"),
    (r"^\ud83d\ude00$", "surrogate"),
    (r"\x4", "hexadecimal"),
    ("a" * 2001, "2000 characters"),
    ("(" * 30 + "a" + ")" * 30, "nested deeper"),
]


@pytest.fixture(scope="module")
def writer() -> ByteWriter:
    return ByteWriter()


@pytest.mark.parametrize("pattern", HELD)
def test_what_may_be_written_is_found(pattern: str, writer: ByteWriter) -> None:
    schema: dict[str, object] = {"type": "string", "pattern": whole(pattern), "maxLength": 12}
    written = [writer.write(schema, seed) for seed in range(25)]
    texts = [json.loads(text) for text in written if text is not None]
    assert texts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of `[[`
        assert [text for text in texts if not re.search(pattern, text)] == []


@pytest.mark.parametrize(("pattern", "words"), REFUSED)
def test_what_cannot_be_held_to_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(PatternError) as refused:
        whole(pattern)
    assert words in str(refused.value)
