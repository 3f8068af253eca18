"""The conversation of `clearseek chat`: read a line, stream an answer, obey a few commands."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import time
import uuid
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory
from prompt_toolkit.shortcuts import CompleteStyle
from rich.console import Console

from clearseek.cli.files import write_new_text
from clearseek.cli.render import BROKEN_OFF, AnswerView, cost_words, plain, quiet_line, seconds_words
from clearseek.errors import UserError
from clearseek.inference.engine import Delta, Finished, Progress, Queued, Recast, Request, Thinking
from clearseek.inference.errors import ContextOverflow
from clearseek.inference.pool import Pool
from clearseek.settings import home

HELP = """\
/model [NAME]                      show the models, or change to one
/think [on|off|low|high|max]       whether to think before answering, and for how long
/save FILE                         keep this conversation as Markdown
/new                               forget it and begin again
/help                              this
/quit                              leave (Ctrl-D does too)
Ctrl-C stops an answer. Alt-Enter makes a new line."""
COMMANDS = ("/model", "/think", "/save", "/new", "/help", "/quit")
HISTORY_BYTES = 1_000_000


class Terminal:
    """One conversation. `first` holds what every request shares: system message, thinking, sampling, limits."""

    def __init__(self, pool: Pool, model: str, first: Request, console: Console | None = None) -> None:
        self.pool, self.model, self.first = pool, model, first
        self.console = console or Console()
        self.messages: list[dict[str, Any]] = list(first.messages)
        self._answering: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Talk until `/quit` or Ctrl-D."""
        loop = asyncio.get_running_loop()
        # One handler for the whole conversation: a Ctrl-C that comes a moment late must not end the program.
        loop.add_signal_handler(signal.SIGINT, self.interrupt)
        session: PromptSession[str] = PromptSession(
            history=FileHistory(str(history_file())),
            completer=WordCompleter(list(COMMANDS), sentence=True),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            reserve_space_for_menu=0,
        )
        self._say(f"{self.model}. /help lists the commands; Ctrl-D leaves.")
        try:
            while True:
                try:
                    line = await session.prompt_async(FormattedText([("bold", "› ")]), handle_sigint=False)
                except KeyboardInterrupt:
                    continue
                except EOFError:
                    return
                if not await self.take(line):
                    return
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def interrupt(self) -> None:
        """Stop the answer that is coming, if one is."""
        if self._answering:
            self._answering.cancel()

    async def take(self, line: str) -> bool:
        """Do what a line says. False: leave."""
        text = line.strip()
        try:
            if text.startswith("/"):
                return await self._command(text)
            if text:
                await self._ask(text)
        except UserError as error:
            self.console.print(plain(str(error)), style="red", markup=False, highlight=False)
            if isinstance(error, ContextOverflow):
                self._say("/save FILE keeps it; /new begins again.")
        return True

    async def _command(self, text: str) -> bool:
        name, _, rest = text.partition(" ")
        rest = rest.strip()
        if name in ("/quit", "/exit"):
            return False
        if name == "/help":
            self._say(HELP)
        elif name == "/new":
            self.messages = list(self.first.messages)
            self._say("A new conversation.")
        elif name == "/model":
            await self._change_model(rest)
        elif name == "/think":
            self._change_thinking(rest)
        elif name == "/save":
            self._save(rest)
        else:
            raise UserError(f"There is no command {name}; /help lists those there are.")
        return True

    def _save(self, name: str) -> None:
        if not name:
            raise UserError("Say where to: /save FILE.")
        path = Path(name).expanduser()
        write_new_text(path, as_markdown(self.messages, self.model))
        self._say(f"Saved as {path}.")

    async def _change_model(self, name: str) -> None:
        if name:
            self.model = await self.pool.resolve(name)
            self._say(f"Now {self.model}.")
            return
        for model in await self.pool.models():
            mark = "*" if model.model == self.model else " "
            context = f", {model.context:,} tokens of context" if model.context else ""
            self._say(f"{mark} {model.model}{context}")

    def _change_thinking(self, word: str) -> None:
        thinking = self.first.thinking
        if word in ("on", "off"):
            thinking = replace(thinking, enabled=word == "on")
        elif word in ("low", "high", "max"):
            thinking = Thinking(enabled=True, effort=word)  # type: ignore[arg-type]
        elif word:
            raise UserError("Thinking is on, off, low, high or max.")
        self.first = replace(self.first, thinking=thinking)
        self._say(f"Thinking is on, effort {thinking.effort}." if thinking.enabled else "Thinking is off.")

    async def _ask(self, question: str) -> None:
        self.messages.append({"role": "user", "content": question})
        before = len(self.messages)
        self._answering = asyncio.create_task(self._answer())
        try:
            with unechoed(sys.stdin.fileno()):
                await self._answering
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current and current.cancelling():
                raise
            self._say("(stopped)")
        finally:
            self._answering = None
            if len(self.messages) == before:  # nothing came: a question without an answer would confuse what follows
                self.messages.pop()

    async def _answer(self) -> None:
        request = replace(self.first, messages=tuple(self.messages))
        view = AnswerView(self.console)
        answer, began, thought = "", time.monotonic(), 0.0
        end: Finished | None = None
        try:
            view.status("…")
            made = self.pool.generate(self.model, request, request_id=uuid.uuid4().hex, source="terminal")
            async with aclosing(made) as events:
                async for event in events:
                    if isinstance(event, Delta) and event.kind == "thinking":
                        view.thinking(event.text)
                        thought = time.monotonic() - began
                    elif isinstance(event, Delta):
                        view.answer(event.text)
                        answer += event.text
                    elif isinstance(event, Recast):
                        view.recast(event.shown)
                        answer = ""
                    elif isinstance(event, Queued):
                        view.status(f"waiting, {event.position} in line")
                    elif isinstance(event, Progress):
                        view.status(f"reading {event.processed:,} of {event.total:,} tokens")
                    elif isinstance(event, Finished):
                        end = event
        finally:
            view.finish()
            if answer.strip():
                self.messages.append({"role": "assistant", "content": answer})
        if end:
            for words in (end.over, end.note):
                if words:
                    self._say(words)
            self.console.print(quiet_line(facts(end, thought, bool(answer.strip()))))
            self.console.print()

    def _say(self, words: str) -> None:
        self.console.print(plain(words), style="dim", markup=False, highlight=False)


@contextmanager
def unechoed(terminal: int) -> Iterator[None]:
    """Keep what is typed during an answer (`^C` too) out of the answer; it is read afterwards."""
    if not os.isatty(terminal):
        yield
        return
    before = termios.tcgetattr(terminal)
    quiet = list(before)
    quiet[3] &= ~termios.ECHO  # local modes
    termios.tcsetattr(terminal, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def facts(end: Finished, thought: float, answered: bool) -> list[str]:
    """What the small print under an answer says. `thought` is in seconds."""
    usage, timings = end.usage, end.timings
    parts = [f"{usage.completion_tokens:,} tokens"] if usage.counted else []
    if timings.clock == "engine" and timings.decode and usage.counted and usage.completion_tokens:
        parts.append(f"{usage.completion_tokens / timings.decode:.0f} tokens/s")
    if timings.total is not None:
        parts.append(seconds_words(timings.total - (timings.queue or 0.0)))
    if end.spent:
        parts += cost_words(end.spent)
    if usage.reasoning_tokens and thought:
        parts.append(f"thought for {thought:.0f} s")
    if usage.cached_tokens:
        parts.append(f"{usage.cached_tokens:,} of {usage.prompt_tokens:,} prompt tokens cached")
    if end.reason == "length":
        parts.append("cut at the length limit" if answered else "the length limit came before the answer")
    if end.reason in BROKEN_OFF:
        parts.append(BROKEN_OFF[end.reason])
    return parts


def as_markdown(messages: list[dict[str, Any]], model: str) -> str:
    """The conversation as a Markdown document."""
    parts = [f"# A conversation with {model}\n"]
    names = {"system": "Instructions", "user": "You", "assistant": "Model"}
    parts += [f"## {names[message['role']]}\n\n{message['content'].strip()}\n" for message in messages]
    return "\n".join(parts)


def history_file() -> Path:
    """Where asked questions are remembered, readable by this user only; set aside when it grows large."""
    path = home() / "chat-history"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > HISTORY_BYTES:
        path.replace(path.with_suffix(".old"))
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    return path
