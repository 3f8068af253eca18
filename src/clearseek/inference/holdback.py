"""An answer for readers that can take nothing back: what may still turn out to be thinking is held back a little."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import replace

from clearseek.inference.engine import Delta, Event, Finished, Recast, ToolCall
from clearseek.inference.late_tags import JSON_OPENS


async def settled(
    events: AsyncGenerator[Event, None], hold: int, *, words: int | None = None, form: bool = False
) -> AsyncGenerator[Event, None]:
    """The same events without `Recast`.

    The first line of an answer waits until the next one has begun, or until it is `hold` tokens long (`words`, where it
    begins with a letter: the working of small models begins with a digit), and is told as thinking where it was (or,
    with thinking off, not at all). What was told as answer before a later tag stays; what
    comes after the tag is a new paragraph. An answer that is to be JSON (`form`) waits for as long as it is none:
    nobody can read JSON that has thinking before it.
    """
    held: list[Delta] = []
    holding, shown, thought = hold > 0, False, False
    async with contextlib.aclosing(events):
        async for event in events:
            if isinstance(event, Delta) and event.kind == "answer" and holding:
                held.append(event)
                line = "".join(delta.text for delta in held)
                if form:
                    holding = line.strip()[:1] not in JSON_OPENS
                else:
                    begun = line.strip()
                    most = hold if words is None or not begun[:1].isalpha() else words
                    holding = "\n" not in begun and sum(delta.tokens for delta in held) < most
                if not holding:
                    shown = True
                    for delta in held:
                        yield delta
                    held = []
                continue
            if isinstance(event, Recast):
                if thought and event.shown and held:  # thinking of its own, after other thinking
                    yield Delta("thinking", "\n", tokens=0)
                for delta in held:
                    yield replace(delta, kind="thinking") if event.shown else replace(delta, text="", logprobs=())
                thought = thought or (event.shown and bool(held))
                if shown:
                    yield Delta("answer", "\n\n", tokens=0)
                held = []
                continue
            if isinstance(event, ToolCall | Finished):
                for delta in held:
                    yield delta
                held = []
            if isinstance(event, Delta) and event.text:
                shown, thought = shown or event.kind == "answer", thought or event.kind == "thinking"
            yield event
