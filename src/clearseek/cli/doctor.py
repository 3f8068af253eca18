"""`clearseek doctor`: what this machine has, what will work, and what to install."""

from __future__ import annotations

from typing import Annotated

import typer

from clearseek.errors import CheckFailed

MARKS = {"ok": ("✓", "green"), "note": ("·", "dim"), "warn": ("!", "yellow"), "bad": ("✗", "red")}


def doctor(
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Do not hash the model files again.")] = False,
) -> None:
    """Look at this machine and say, line by line, what is there and what to do about what is not.

    Exit code 3 if something that ClearSeek needs is missing.
    """
    from clearseek.cli.diagnostics import checkup

    findings = list(checkup(hash_models=not quick))
    broken = [finding for finding in findings if finding.mark == "bad"]
    if json_:
        import dataclasses
        import json

        print(json.dumps({"ok": not broken, "findings": [dataclasses.asdict(finding) for finding in findings]}))
    else:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for finding in findings:
            sign, style = MARKS[finding.mark]
            text = Text(finding.what)
            if finding.way:
                text.append(f"\n→ {finding.way}", style="bold")
            table.add_row(Text(sign, style=style), finding.name, text)
        Console(highlight=False).print(table)
    if broken:
        raise CheckFailed(f"ClearSeek cannot work here yet: {broken[0].name}: {broken[0].what}")
