"""What servers really send, byte for byte, and what a reader should get of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from clearseek.inference.engine import FinishReason

DONE = "data: [DONE]\n\n"
Call = tuple[str | None, str, Any]
"""id (None: any that is not empty), name, arguments as parsed."""


@dataclass(frozen=True)
class Dialect:
    raw: bytes
    thinking: str = ""
    answer: str = ""
    calls: tuple[Call, ...] = ()
    reason: FinishReason = "stop"
    usage: tuple[int, int, int, int] | None = None
    """prompt, cached, completion, reasoning; None: not counted."""
    type: str = field(default="text/event-stream")


def event(value: Any) -> str:
    return f"data: {json.dumps(value)}\n\n"


def chunk(delta: Any, finish: Any = None, **more: Any) -> str:
    return event(
        {
            "id": "x",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            **more,
        }
    )


def say(*deltas: Any, finish: Any = "stop", **of: Any) -> Dialect:
    """An OpenAI stream of these deltas."""
    return Dialect(("".join(map(chunk, deltas)) + chunk({}, finish) + DONE).encode(), **of)


def call(name: str | None = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {"tool_calls": [{**more, "function": function}]}


def whole(message: Any, finish: str | None = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], **more}).encode()


BERN: dict[str, Any] = {"thinking": "Let me see.", "answer": "It is Bern."}
SAID = {"content": "It is Bern."}
ADD: tuple[Call, ...] = (("c1", "add", {"a": 1}),)
TWO: tuple[Call, ...] = (("c1", "add", {"a": 1}), ("c2", "add", {"a": 2}))
COUNTED = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}

DIALECTS: dict[str, Dialect] = {
    # how the stream is written
    "plain": say(
        {"role": "assistant", "content": ""}, {"content": "It is "}, {"content": "Bern."}, answer="It is Bern."
    ),
    "data-without-space": Dialect(
        (chunk(SAID, "stop") + DONE).replace("data: ", "data:").encode(), answer="It is Bern."
    ),
    "crlf": Dialect((chunk(SAID, "stop") + DONE).replace("\n", "\r\n").encode(), answer="It is Bern."),
    "cr": Dialect((chunk(SAID, "stop") + DONE).replace("\n", "\r").encode(), answer="It is Bern."),
    "bom": Dialect(b"\xef\xbb\xbf" + (chunk(SAID) + chunk({}, "stop") + DONE).encode(), answer="It is Bern."),
    "blank-lines-first": Dialect(b"\n\r\n\n" + (chunk(SAID, "stop") + DONE).encode(), answer="It is Bern."),
    "ids-and-retry": Dialect(
        f"retry: 3000\n\nid: 1\nevent: message\n{chunk(SAID, 'stop')}id\nevent: done\n{DONE}".encode(),
        answer="It is Bern.",
    ),
    "comments": Dialect(
        f": OPENROUTER PROCESSING\n\n:\n\n{chunk(SAID)}: keep-alive\n\n{chunk({}, 'stop')}{DONE}".encode(),
        answer="It is Bern.",
    ),
    "pings": Dialect(
        f'event: ping\ndata: {{"type": "ping"}}\n\n{chunk(SAID)}data:\n\n{chunk({}, "stop")}{DONE}'.encode(),
        answer="It is Bern.",
    ),
    "lines-of-one-event": Dialect(
        b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"It is Bern."},\ndata: "finish_reason":null}]}\n\n'
        + (chunk({}, "stop") + DONE).encode(),
        answer="It is Bern.",
    ),
    "pretty-printed-event": Dialect(
        "\n".join(
            f"data: {line}" for line in json.dumps(json.loads(chunk(SAID, "stop")[6:]), indent=1).split("\n")
        ).encode()
        + b"\n\n",
        answer="It is Bern.",
    ),
    "no-blank-lines": Dialect(
        (chunk(SAID) + chunk({}, "stop") + DONE).replace("\n\n", "\n").encode(), answer="It is Bern."
    ),
    "no-end-of-line-at-the-end": Dialect((chunk(SAID) + chunk({}, "stop")).rstrip("\n").encode(), answer="It is Bern."),
    "no-done": Dialect((chunk(SAID) + chunk({}, "stop")).encode(), answer="It is Bern."),
    "done-without-finish": Dialect((chunk(SAID) + DONE).encode(), answer="It is Bern."),
    "done-without-finish-a-call": Dialect(
        (chunk(call("add", '{"a":1}', index=0, id="c1")) + DONE).encode(), calls=ADD, reason="tool_calls"
    ),
    "done-as-a-string": Dialect((chunk(SAID) + 'data: "[DONE]"\n\n').encode(), answer="It is Bern."),
    "garbage-after-the-finish": Dialect((chunk(SAID, "stop") + "data: {oops\n\n").encode(), answer="It is Bern."),
    "error-after-the-finish": Dialect(
        (chunk(SAID, "stop") + event({"error": "no usage"})).encode(), answer="It is Bern."
    ),
    "unicode": say({"content": "Zürich, 東京, 🦀"}, answer="Zürich, 東京, 🦀"),
    "raw-utf8": Dialect(
        'data: {"choices":[{"delta":{"content":"Zürich, 東京, 🦀"},"finish_reason":"stop"}]}\n\n'.encode(),
        answer="Zürich, 東京, 🦀",
    ),
    "halves-of-a-character": Dialect(
        b'data: {"choices":[{"delta":{"content":"a \\ud83e"}}]}\n\n'
        b'data: {"choices":[{"delta":{"content":"\\udd80!"}}]}\n\n' + (chunk({}, "stop") + DONE).encode(),
        answer="a 🦀!",
    ),
    "half-a-character": Dialect(
        b'data: {"choices":[{"delta":{"content":"a\\ud83e"}}]}\n\n' + (chunk({}, "stop") + DONE).encode(), answer="a�"
    ),
    "bytes-that-are-no-utf8": Dialect(
        b'data: {"choices":[{"delta":{"content":"a\xff"}}]}\n\n' + (chunk({}, "stop") + DONE).encode(), answer="a�"
    ),
    "nan": Dialect(
        b'data: {"choices":[{"delta":{"content":"ok"},"score":NaN,"finish_reason":"stop"}]}\n\n', answer="ok"
    ),
    # not a stream
    "json": Dialect(whole(SAID, usage=COUNTED), answer="It is Bern.", usage=(9, 0, 7, 0), type="application/json"),
    "json-thinking": Dialect(
        whole(SAID | {"reasoning_content": "Let me see."}), **BERN, type="application/json; charset=utf-8"
    ),
    "json-inline-thinking": Dialect(whole({"content": "<think>Let me see.</think>\n\nIt is Bern."}), **BERN),
    "json-calls": Dialect(
        whole(
            {
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
            },
            "tool_calls",
        ),
        calls=ADD,
        reason="tool_calls",
        type="application/json",
    ),
    "json-after-keepalive-lines": Dialect(b"\n\n\n\n" + whole(SAID), answer="It is Bern.", type="application/json"),
    "json-in-an-event": Dialect(b"data: " + whole(SAID) + b"\n\n", answer="It is Bern."),
    "json-lines": Dialect(
        (chunk(SAID) + chunk({}, "stop")).replace("data: ", "").replace("\n\n", "\n").encode(),
        answer="It is Bern.",
        type="application/x-ndjson",
    ),
    "whole-message-again-at-the-end": Dialect(
        (
            chunk(SAID) + event({"choices": [{"index": 0, "delta": {}, "message": SAID, "finish_reason": "stop"}]})
        ).encode(),
        answer="It is Bern.",
    ),
    "text-completion": Dialect(
        (
            event({"choices": [{"text": "It is "}]}) + event({"choices": [{"text": "Bern.", "finish_reason": "stop"}]})
        ).encode(),
        answer="It is Bern.",
    ),
    # choices
    "azure": Dialect(
        (
            event({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]})
            + chunk(SAID)
            + chunk({}, "stop")
            + DONE
        ).encode(),
        answer="It is Bern.",
    ),
    "nulls": Dialect(
        (
            event({"choices": None, "usage": None})
            + event({"choices": [None, {"index": None, "delta": None}]})
            + chunk(
                {"content": None, "reasoning_content": None, "tool_calls": None, "refusal": None, "function_call": None}
            )
            + chunk(SAID, usage=None)
            + chunk(None, "stop")
            + DONE
        ).encode(),
        answer="It is Bern.",
    ),
    "two-choices": Dialect(
        (
            event({"choices": [{"index": 0, "delta": SAID}, {"index": 1, "delta": {"content": "Or Basel."}}]})
            + chunk({}, "stop")
            + DONE
        ).encode(),
        answer="It is Bern.",
    ),
    # thinking
    "reasoning_content": say({"reasoning_content": "Let me "}, {"reasoning_content": "see."}, SAID, **BERN),
    "reasoning": say({"reasoning": "Let me see.", "content": ""}, SAID, **BERN),
    "reasoning_text": say({"reasoning_text": "Let me see."}, SAID, **BERN),
    "thinking-field": say({"thinking": "Let me see."}, SAID, **BERN),
    "both-names": say({"reasoning": "Let me see.", "reasoning_content": "Let me see."}, SAID, **BERN),
    "reasoning_details": say({"reasoning_details": [{"type": "reasoning.text", "text": "Let me see."}]}, SAID, **BERN),
    "openrouter": say(
        {
            "content": "",
            "reasoning": "Let me see.",
            "reasoning_details": [{"type": "reasoning.text", "text": "Let me see."}],
        },
        {"content": "", "reasoning_details": [{"type": "reasoning.encrypted", "data": "abc"}]},
        SAID,
        **BERN,
    ),
    "reasoning-summary": say(
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "Let me see."}]}, SAID, **BERN
    ),
    "thinking_blocks": say({"thinking_blocks": [{"type": "thinking", "thinking": "Let me see."}]}, SAID, **BERN),
    "reasoning-object": say({"reasoning": {"content": "Let me see."}}, SAID, **BERN),
    "mistral-parts": say(
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Let me see."}]}]},
        {"content": [{"type": "text", "text": "It is Bern."}]},
        **BERN,
    ),
    "parts-in-one": say(
        {"content": [{"type": "thinking", "thinking": "Let me see."}, {"type": "text", "text": "It is "}, "Bern."]},
        **BERN,
    ),
    "a-part-alone": say({"content": {"type": "text", "text": "It is Bern."}}, answer="It is Bern."),
    "parts-with-tags": say({"content": [{"type": "text", "text": "<think>Let me see.</think>It is Bern."}]}, **BERN),
    "inline-tags": say(
        {"content": "<thi"}, {"content": "nk>\nLet me see.\n</th"}, {"content": "ink>\n\nIt is Bern."}, **BERN
    ),
    "tags-after-told-apart": say(
        {"reasoning": "Let me see."}, {"content": "a <think> b"}, thinking="Let me see.", answer="a <think> b"
    ),
    "space-before-thinking": say({"content": "\n"}, {"reasoning": "Let me see."}, SAID, **BERN),
    "refusal": say({"refusal": "I will not "}, {"refusal": "say."}, answer="I will not say."),
    # how it ended
    **{
        f"finish-{word}": say(SAID, finish=word, answer="It is Bern.")
        for word in ("eos_token", "end_turn", "STOP", "eos", "x")
    },
    **{
        f"finish-{word}": say(SAID, finish=word, answer="It is Bern.", reason="length")
        for word in ("MAX_TOKENS", "model_length")
    },
    **{
        f"finish-{word}": say(SAID, finish=word, answer="It is Bern.", reason="content_filter")
        for word in ("content_filter", "SAFETY", "sensitive")
    },
    "finish-insufficient": say(SAID, finish="insufficient_system_resource", answer="It is Bern.", reason="aborted"),
    "finish-empty": Dialect(
        (chunk(SAID, "") + chunk({}, "length") + chunk({}, "") + DONE).encode(), answer="It is Bern.", reason="length"
    ),
    "finish-as-a-word-for-none": Dialect(
        (chunk(SAID, "null") + chunk({}, "stop") + DONE).encode(), answer="It is Bern."
    ),
    # calls
    "calls": say(
        call("add", "", index=0, id="c1"),
        call(None, '{"a"', index=0),
        call(None, ":1}", index=0),
        finish="tool_calls",
        calls=ADD,
        reason="tool_calls",
    ),
    "calls-stop": say(call("add", '{"a":1}', index=0, id="c1"), calls=ADD, reason="tool_calls"),
    "calls-eos": say(call("add", '{"a":1}', index=0, id="c1"), finish="eos_token", calls=ADD, reason="tool_calls"),
    "calls-index-null": say(call("add", '{"a":1}', index=None, id="c1"), calls=ADD, reason="tool_calls"),
    "calls-index-text": say(
        call("add", '{"a":', index="0", id="c1"), call(None, "1}", index="0"), calls=ADD, reason="tool_calls"
    ),
    "calls-no-index": say(
        call("add", "", id="c1"), call(None, '{"a":'), call(None, "1}"), calls=ADD, reason="tool_calls"
    ),
    "calls-no-index-two": say(
        call("add", '{"a":1}', id="c1"), call("add", '{"a":2}', id="c2"), calls=TWO, reason="tool_calls"
    ),
    "calls-no-index-only-ids": say(
        call("add", "", id="c1"),
        call(None, '{"a":1}', id="c1"),
        call("add", "", id="c2"),
        call(None, '{"a":2}', id="c2"),
        calls=TWO,
        reason="tool_calls",
    ),
    "calls-gemini": say(
        {
            "tool_calls": [
                {"id": "", "function": {"name": "add", "arguments": '{"a":1}'}},
                {"id": "", "function": {"name": "add", "arguments": '{"a":2}'}},
            ]
        },
        calls=((None, "add", {"a": 1}), (None, "add", {"a": 2})),
        reason="tool_calls",
    ),
    "calls-ollama": say(
        call("add", '{"a":1}', index=0, id="c1"),
        call("add", '{"a":2}', index=0, id="c2"),
        calls=TWO,
        reason="tool_calls",
    ),
    "calls-same-index-no-ids": say(
        call("add", '{"a":1}', index=0),
        call("add", '{"a":2}', index=0),
        calls=((None, "add", {"a": 1}), (None, "add", {"a": 2})),
        reason="tool_calls",
    ),
    "calls-without-arguments-twice": say(
        call("now", "{}"), call("now", "{}"), calls=((None, "now", {}), (None, "now", {})), reason="tool_calls"
    ),
    "calls-new-id-each": say(
        call("add", "", index=0, id="c1"),
        call(None, '{"a":', index=0, id="z9"),
        call(None, "1}", index=0, id="z8"),
        calls=ADD,
        reason="tool_calls",
    ),
    "calls-name-again": say(
        call("add", '{"a"', index=0, id="c1"),
        call("add", ":", index=0, id="c1"),
        call("add", "1}", index=0),
        call("add", "", index=0, id="c1"),
        calls=ADD,
        reason="tool_calls",
    ),
    "calls-id-late": say(
        {"tool_calls": [{"index": 0, "function": {"name": "add"}}]},
        call(None, '{"a":1}', index=0, id="c1"),
        calls=ADD,
        reason="tool_calls",
    ),
    "calls-interleaved": say(
        call("add", "", index=0, id="c1"),
        call("add", "", index=1, id="c2"),
        call(None, '{"a":', index=0),
        call(None, '{"a":2}', index=1),
        call(None, "1}", index=0),
        calls=TWO,
        reason="tool_calls",
    ),
    "calls-object": say(call("add", {"a": 1}, index=0, id="c1"), calls=ADD, reason="tool_calls"),
    "calls-object-then-pieces": say(
        call("add", {}, index=0, id="c1"),
        call(None, '{"a":', index=0),
        call(None, "1}", index=0),
        calls=ADD,
        reason="tool_calls",
    ),
    "calls-no-arguments": say(call("now", index=0, id="c1"), calls=(("c1", "now", {}),), reason="tool_calls"),
    "calls-arguments-null": say(
        {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "now", "arguments": None}}]},
        calls=(("c1", "now", {}),),
        reason="tool_calls",
    ),
    "calls-no-id": say(call("add", '{"a":1}', index=0), calls=((None, "add", {"a": 1}),), reason="tool_calls"),
    "calls-id-null": say(
        call("add", '{"a":1}', index=0, id=None), calls=((None, "add", {"a": 1}),), reason="tool_calls"
    ),
    "calls-flat": say(
        {"tool_calls": [{"id": "c1", "name": "add", "arguments": '{"a":1}'}]}, calls=ADD, reason="tool_calls"
    ),
    "function_call": say(
        {"function_call": {"name": "add", "arguments": ""}},
        {"function_call": {"arguments": '{"a":'}},
        {"function_call": {"arguments": "1}"}},
        finish="function_call",
        calls=((None, "add", {"a": 1}),),
        reason="tool_calls",
    ),
    "tool_calls-without-any": say(SAID, finish="tool_calls", answer="It is Bern."),
    # counts
    "usage-last": Dialect(
        (chunk(SAID) + chunk({}, "stop") + event({"choices": [], "usage": COUNTED}) + DONE).encode(),
        answer="It is Bern.",
        usage=(9, 0, 7, 0),
    ),
    "usage-each": Dialect(
        (
            chunk(SAID, usage={"prompt_tokens": 9, "completion_tokens": 1})
            + chunk({}, "stop", usage=COUNTED)
            + chunk({}, usage={})
            + DONE
        ).encode(),
        answer="It is Bern.",
        usage=(9, 0, 7, 0),
    ),
    "usage-deepseek": Dialect(
        (
            chunk(SAID)
            + chunk(
                {},
                "stop",
                usage=COUNTED
                | {
                    "prompt_cache_hit_tokens": 4,
                    "prompt_tokens_details": None,
                    "completion_tokens_details": {"reasoning_tokens": 3},
                },
            )
            + DONE
        ).encode(),
        answer="It is Bern.",
        usage=(9, 4, 7, 3),
    ),
    "usage-moonshot": Dialect(
        (
            chunk(SAID)
            + event({"choices": [{"delta": {}, "finish_reason": "stop", "usage": COUNTED | {"cached_tokens": 2}}]})
            + DONE
        ).encode(),
        answer="It is Bern.",
        usage=(9, 2, 7, 0),
    ),
    "usage-groq": Dialect(
        (chunk(SAID) + chunk({}, "stop", x_groq={"id": "r", "usage": COUNTED}) + DONE).encode(),
        answer="It is Bern.",
        usage=(9, 0, 7, 0),
    ),
    "usage-thinking-apart": Dialect(
        (
            chunk(SAID)
            + chunk(
                {},
                "stop",
                usage={
                    "prompt_tokens": 9,
                    "completion_tokens": 7,
                    "total_tokens": 21,
                    "completion_tokens_details": {"reasoning_tokens": 5},
                },
            )
            + DONE
        ).encode(),
        answer="It is Bern.",
        usage=(9, 0, 12, 5),
    ),
    "usage-other-names": Dialect(
        (chunk(SAID) + chunk({}, "stop", usage={"input_tokens": 9, "output_tokens": 7}) + DONE).encode(),
        answer="It is Bern.",
        usage=(9, 0, 7, 0),
    ),
    "usage-nonsense": Dialect(
        (
            chunk(SAID)
            + chunk(
                {},
                "stop",
                usage={
                    "prompt_tokens": "9",
                    "completion_tokens": -1,
                    "total_tokens": None,
                    "prompt_tokens_details": [],
                    "completion_tokens_details": "x",
                },
            )
            + DONE
        ).encode(),
        answer="It is Bern.",
    ),
    "timings-of-its-own": Dialect(
        (chunk(SAID) + chunk({}, "stop", timings={"prompt_ms": 1e9, "predicted_ms": 0.0}) + DONE).encode(),
        answer="It is Bern.",
    ),
}
