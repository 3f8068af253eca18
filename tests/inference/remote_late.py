"""Answers of remote engines with a closing tag in them that nothing opened, and what a reader should get of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from remote_dialects import ADD, COUNTED, DONE, Call, chunk, whole

CALL = {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "add", "arguments": '{"a":1}'}}]}


@dataclass(frozen=True)
class Late:
    text: str
    """What the engine writes as content."""
    thinking: str
    answer: str
    calls: tuple[Call, ...] = ()
    question: str = "What is 2+2?"
    schema: dict[str, Any] | None = None
    last: str | None = None
    """What a stream that comes character by character ends with as content, where it had sent some of it already."""

    def raw(self, size: int | None) -> bytes:
        """In pieces of `size` characters; None: not a stream."""
        if size is None:
            message = {"content": self.text} | (CALL if self.calls else {})
            return whole(message, "tool_calls" if self.calls else "stop", usage=COUNTED)
        pieces = [self.text[at : at + size] for at in range(0, len(self.text), size)]
        called = chunk(CALL) if self.calls else ""
        said = "".join(chunk({"content": piece}) for piece in pieces)
        return (said + called + chunk({}, "stop", usage=COUNTED) + DONE).encode()


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
TAGGED = json.dumps({"a": "it ends</think>so"})
LATE: dict[str, Late] = {
    "a working": Late("I reason first. 2+2=4.</think>\n\nIt is 4.", "I reason first. 2+2=4.", "It is 4."),
    "a line of its own": Late("2+2=4\n</think>\nIt is 4.\nYes.", "2+2=4", "It is 4.\nYes."),
    "upper case": Late("2+2=4.</THINK>It is 4.", "2+2=4.", "It is 4."),
    "several lines": Late("I see:\n2+2=4\n</think>\n\nIt is 4.", "I see:\n2+2=4", "It is 4.", last="\n\nIt is 4."),
    "closed twice": Late("a\n</think>\n\nb\n</think>\n\nIt is 4.", "a\nb", "It is 4."),
    "closed twice at once": Late("a\n</think>\n</think>\n\nIt is 4.", "a", "It is 4."),
    "nothing after it": Late("It is 4.\n</think>\n\n", "", "It is 4."),
    "nothing before it": Late("</think>\n\nIt is 4.", "", "It is 4."),
    "all there is": Late("</think>", "", "</think>"),
    "opened, closed and closed again": Late("<think>hm</think>2+2\n</think>\n\nIt is 4.", "hm\n2+2", "It is 4."),
    "in a fence": Late("So:\n```\nhm\n</think>\n\n4\n```\nYes.", "", "So:\n```\nhm\n</think>\n\n4\n```\nYes."),
    "in a line of code": Late("The tag `</think>` ends it.\n\nYes.", "", "The tag `</think>` ends it.\n\nYes."),
    "asked about": Late("It ends.\n</think>\n\nYes.", "", "It ends.\n</think>\n\nYes.", question="What is </think>?"),
    "a call after it": Late("I should add.\n</think>\n\n", "I should add.", "", ADD),
    "a call right after it": Late("I should add. </think>", "I should add.", "", ADD),
    "a call after the tag alone": Late("</think>\n", "", "", ADD),
    "a call after an answer": Late("a\n</think>\n\nI add.\n", "a", "I add.", ADD),
    "before JSON": Late(f"It is so.\nYes.</think>\n\n{TAGGED}", "It is so.\nYes.", TAGGED, schema=SCHEMA),
    "in JSON": Late(TAGGED, "", TAGGED, schema=SCHEMA),
}
