"""What a run shows while it runs: one view of its numbers, drawn in a terminal or told in plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from clearseek.training.report.view import View

if TYPE_CHECKING:
    from rich.console import RenderableType


PLAIN_SECONDS = 10.0
"""Without a terminal, a line is written no more often than this."""


class Screen:
    """Plain lines, for a file, a pipe or a log. `quiet` says nothing at all."""

    def __init__(self, out: TextIO | None = None, *, quiet: bool = False) -> None:
        self.out, self.quiet = out or sys.stderr, quiet
        self.told = 0.0

    def tell(self, sentence: str) -> None:
        if not self.quiet:
            print(sentence, file=self.out, flush=True)

    def show(self, view: View) -> None:
        if time.monotonic() - self.told >= PLAIN_SECONDS:
            self.told = time.monotonic()
            self.tell(view.line())

    def forecast(self, preflight: Any) -> None:
        for line in preflight.words():
            self.tell(line)

    def evaluating(self, name: str) -> Callable[[int, int, int], None] | None:
        return None

    def close(self) -> None:
        pass


class LiveScreen(Screen):
    """A terminal: sentences scroll by above a panel that is drawn again at every step."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live

        self.console = Console(stderr=True, highlight=False)
        self.live = Live(console=self.console, refresh_per_second=4, transient=False)
        self.live.start()
        self.drawn: RenderableType | None = None

    def tell(self, sentence: str) -> None:
        from rich.text import Text

        self.live.console.print(Text(sentence))

    def show(self, view: View) -> None:
        self.drawn = draw(view)
        self.live.update(self.drawn)

    def evaluating(self, name: str) -> Callable[[int, int, int], None]:
        from rich.console import Group
        from rich.text import Text

        def progress(done: int, total: int, tokens: int) -> None:
            line = Text(f"{name}: {done} of {total} answers, {tokens:,} tokens", style="dim")
            self.live.update(Group(self.drawn, line) if self.drawn is not None else line)

        return progress

    def close(self) -> None:
        self.live.stop()


_SPARK = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float], width: int = 40) -> str:
    """The last values as small bars."""
    values = list(values)[-width:]
    low, high = min(values, default=0.0), max(values, default=0.0)
    span = (high - low) or 1.0
    return "".join(_SPARK[min(7, int((value - low) / span * 7.999))] for value in values)


def draw(view: View) -> RenderableType:
    """The panel: what is under way, its numbers with their recent course, dev, and what has been spent."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    stage = view.stages[view.now]
    head = Text(f"{view.recipe.name}  stage {view.now + 1} of {len(view.stages)}: {stage.name} ({stage.kind})  ")
    head.append(f"step {len(stage.rows)} of {stage.steps}", style="bold")
    grid = Table.grid(padding=(0, 2))
    for name in (
        "loss", "reward", "accuracy", "format", "groups_that_teach", "truncated", "length", "entropy", "mismatch",
        "second_verifier", "grad_norm",
    ):  # fmt: skip
        points = [value for _, value in stage.curve(name)]
        if points:
            grid.add_row(name.replace("_", " "), f"{points[-1]:.4g}", Text(spark(points), style="dim"))
    dev = view.dev()
    if dev:
        _, mean, low, high = dev[-1]
        grid.add_row("dev accuracy", f"{mean:.3f}", Text(f"{low:.3f} to {high:.3f}  ", style="dim") + Text(
            spark([value for _, value, _, _ in dev]), style="dim"))  # fmt: skip
    for words, rate in view.rates().items():
        grid.add_row(words, f"{rate:.0f} tok/s", "")
    lines: list[Any] = [head, grid, Text(view.spent_words(), style="dim")]
    if view.warnings:
        lines.append(Text(f"step {view.warnings[-1][0]}: {view.warnings[-1][1]}", style="yellow"))
    return Group(*lines)


def open_screen(*, json: bool) -> Screen:
    """The live panel on a terminal; plain lines elsewhere; nothing but errors with --json."""
    if json:
        return Screen(quiet=True)
    return LiveScreen() if sys.stderr.isatty() else Screen()
