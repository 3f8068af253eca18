"""Lines of JSON that people write, read strictly; and the tags that no worked solution may hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

_TAG = re.compile(
    r"</?\s*think(?:ing)?\b[^<>]{0,80}>|<[|\uff5c][^<>|\uff5c\s]{1,40}[|\uff5c]>|</?(?:start|end)_of_turn>",
    re.IGNORECASE,
)


def read_object(line: bytes) -> dict[str, Any]:
    """The object that a line is. Raises ValueError, in words: no JSON, no object, a key twice, half a character.

    Python takes the last of two equal keys and nan for a number; what was meant nobody knows.
    """
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    try:
        values = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except json.JSONDecodeError:
        raise ValueError("it is not JSON") from None
    if not isinstance(values, dict):
        raise ValueError("it is not an object in braces")
    check_whole(values)
    return values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in pairs:
        if key in fields:
            raise ValueError(f"it has the key `{key}` twice")
        fields[key] = value
    return fields


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON's")


def check_whole(value: Any) -> None:
    """Raises ValueError for a text with half a character (a surrogate without its other half), wherever it stands: it
    can be written to no file and given to no model."""
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                half = f"\\u{ord(value[error.start]):04x}"
                raise ValueError(f"it holds {half}, which is half a character") from None
    elif isinstance(value, dict):
        for key, inner in value.items():
            check_whole(key)
            check_whole(inner)
    elif isinstance(value, list):
        for inner in value:
            check_whole(inner)


def tag_in(text: str, more: Iterable[str] = ()) -> str:
    """The first tag that closes or opens thinking or a turn, as it is written in the text; "" where there is none.
    `more` are a model's own.

    Thinking and answer are put between such tags when an example is made: one inside would be learned as text, before
    the real one.
    """
    match = _TAG.search(text)
    if match:
        return match[0]
    return next((token for token in more if token and token in text), "")


def check_untagged(thinking: str | None, answer: str, more: Iterable[str] = ()) -> None:
    """Raises ValueError for a worked solution with a tag in it, and says what to do."""
    for name, text in (("thinking", thinking or ""), ("answer", answer)):
        if tag := tag_in(text, more):
            raise ValueError(
                f"its `{name}` holds {tag}, which would be learned as text: put what stands between such tags into "
                "`thinking`, the rest into `answer`, and leave the tags out"
            )
