"""`clearseek chat`: talk in the terminal, or answer one question and leave."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from clearseek.errors import UsageError, UserError

if TYPE_CHECKING:
    from clearseek.inference.engine import Request
    from clearseek.inference.pool import Pool

MAX_PIPED_BYTES = 4 * 1024 * 1024


class Effort(StrEnum):
    low = "low"
    high = "high"
    max = "max"


def chat(
    prompt: Annotated[
        str | None, typer.Argument(help="Answer this once and leave; text piped in is added to it.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Name of a model.")] = None,
    no_think: Annotated[bool, typer.Option("--no-think", help="Answer at once, without thinking first.")] = False,
    effort: Annotated[Effort, typer.Option("--effort", help="How long to think.")] = Effort.high,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="At most this many tokens.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, max=2**32 - 1, help="Same seed, same answer.")] = None,
    system: Annotated[str | None, typer.Option("--system", help="Instructions that hold for the whole chat.")] = None,
) -> None:
    """Talk to a model in the terminal; with PROMPT or piped text, answer once: answer on stdout, thinking on stderr."""
    from clearseek.cli.first_model import ensure_model
    from clearseek.hub.store import Store
    from clearseek.inference.engine import Request, Sampling, Thinking
    from clearseek.inference.pool import Pool
    from clearseek.server.budgets import open_books
    from clearseek.settings import home, load_settings

    question = _question(prompt)
    if question is None and not sys.stdout.isatty():
        raise UsageError(
            'A chat needs a terminal to write to; to answer once, give the question: clearseek chat "...".'
        )
    settings = load_settings(model=model)
    books = open_books(settings)
    store = Store(home() / "models")
    ensure_model(settings, store)
    first = Request(
        messages=({"role": "system", "content": system},) if system else (),
        max_tokens=max_tokens,
        thinking=Thinking(enabled=not no_think, effort=effort.value),
        sampling=Sampling(seed=seed),
    )

    async def go() -> None:
        pool = Pool(settings, store, books)
        try:
            name = await pool.resolve(model)
            if question is None:
                from clearseek.cli.terminal import Terminal

                await Terminal(pool, name, first).run()
            else:
                await answer_once(pool, name, first, question)
        finally:
            await pool.close()

    asyncio.run(go())


def _question(prompt: str | None) -> str | None:
    """What to answer once (the argument and what was piped in, joined); None: nothing, so a conversation."""
    if sys.stdin is None or sys.stdin.isatty():
        if prompt is not None and not prompt.strip():
            raise UsageError("The question is empty.")
        return prompt
    raw = sys.stdin.buffer.read(MAX_PIPED_BYTES + 1)
    if len(raw) > MAX_PIPED_BYTES:
        raise UsageError(f"More than {MAX_PIPED_BYTES // 2**20} MB was piped in, and no model here can read that much.")
    try:
        piped = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise UsageError("What was piped in is not UTF-8 text.") from None
    question = "\n\n".join(part for part in ((prompt or "").strip(), piped) if part)
    if not question:
        raise UsageError('Nothing was asked: pipe a question in, or give it: clearseek chat "...".')
    return question


async def answer_once(pool: Pool, model: str, first: Request, question: str) -> None:
    """Print the answer, and nothing else, on stdout; thinking goes dimmed to stderr where someone can see it."""
    from contextlib import aclosing
    from dataclasses import replace

    from rich.console import Console

    from clearseek.cli.render import BROKEN_OFF, AnswerView, Wrapped, plain, quiet_line, spent_words
    from clearseek.inference.engine import Delta, Finished, Recast
    from clearseek.inference.holdback import settled

    request = replace(first, messages=(*first.messages, {"role": "user", "content": question}))
    pretty = sys.stdout.isatty()
    watcher = Wrapped(Console(stderr=True), "dim italic") if sys.stderr.isatty() else None
    view = AnswerView(Console()) if pretty else None
    wrote = ""
    end: Finished | None = None
    try:
        made = pool.generate(model, request, request_id="chat", source="terminal")
        if not pretty:  # what is written to a pipe cannot be taken back
            described = await pool.describe(model)
            if described is not None:
                made = settled(made, described.hold, words=described.hold_words)
        async with aclosing(made) as events:
            async for event in events:
                if isinstance(event, Delta) and event.kind == "thinking":
                    if watcher:
                        watcher.feed(plain(event.text))
                elif isinstance(event, Delta):
                    if watcher and not wrote:
                        watcher.end()
                    wrote = event.text or wrote
                    if view:
                        view.answer(event.text)
                    else:
                        sys.stdout.write(event.text)
                        sys.stdout.flush()
                elif isinstance(event, Recast) and view:
                    view.recast(event.shown)
                    wrote = ""
                elif isinstance(event, Finished):
                    end = event
    finally:
        if view:
            view.finish()
        elif wrote and not wrote.endswith("\n"):
            sys.stdout.write("\n")
    over = end.over if end else None
    cut = end is not None and end.reason == "length"
    if not wrote:
        why = "the limit of tokens was reached while it was thinking" if cut else "it said nothing"
        raise UserError(over or f"The model gave no answer: {why}.")
    note = end.note if end else None
    if over or cut or note:
        said = over or ("The answer was cut at the limit of tokens." if cut else note)
        print(f"({said})", file=sys.stderr)
    if end and end.reason in BROKEN_OFF:
        print(f"(The answer was {BROKEN_OFF[end.reason]}.)", file=sys.stderr)
    if end and end.spent and sys.stderr.isatty():
        tokens = end.usage.completion_tokens if end.usage.counted else None
        Console(stderr=True).print(quiet_line(spent_words(tokens, end.spent)))
