"""`clearseek audit`: hold a public claim, or our own receipt, against arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clearseek.errors import UsageError

if TYPE_CHECKING:
    from clearseek.audit import Claim


def audit(
    claim: Annotated[
        str | None, typer.Argument(metavar="[CLAIM]", help="A shipped claim's name, a claim file or a receipt.")
    ] = None,
    solve: Annotated[
        str | None,
        typer.Option(
            "--solve", metavar="NAME", help="gpu_hours, tokens, count, days, usd, mfu or price: what it must be."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help='Change a number first, as in run.mfu=0.4 or "run.gpu_hours=2M h".'
        ),
    ] = None,
    compare: Annotated[
        tuple[str, str] | None, typer.Option("--compare", metavar="A B", help="Set two claims side by side.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the draws from the stated intervals.", min=0)] = 0,
    table: Annotated[bool, typer.Option("--table", help="All shipped claims as a Markdown table.")] = False,
) -> None:
    """Examine a public claim about a model's training, and show the arithmetic; with no CLAIM, list those shipped.

    Exit code 3 if the claim is impossible or contradicts itself.
    """
    changes = dict(_pair(text) for text in set_ or ())
    if compare:
        return _compare(compare, changes, json_, html)
    if table:
        from clearseek.audit.table import markdown

        print(markdown(), end="")
        return None
    if claim is None:
        if solve or html or changes:
            raise UsageError("Name a claim; `clearseek audit` lists those there are.")
        return _list(json_)
    return _examine(_load(claim, changes), solve, seed, json_, html)


def _pair(text: str) -> tuple[str, str]:
    path, sign, value = text.partition("=")
    if not sign or not path.strip() or not value.strip():
        raise UsageError(f"--set takes PATH=VALUE, as in run.mfu=0.4, not {text[:60]!r}.")
    return path.strip(), value.strip()


def _load(name: str, changes: dict[str, str]) -> Claim:
    from clearseek.audit import load_claim

    if name.endswith(".json"):
        from clearseek.audit.receipt import load

        return load(Path(name), changes)
    return load_claim(name, changes=changes)


def _examine(claim: Claim, target: str | None, seed: int, json_: bool, html: Path | None) -> None:
    from clearseek.audit import examine, solve

    examination = examine(claim, seed=seed)
    solution = solve(claim, target) if target else None
    if html:
        from clearseek.audit.html_report import html_page
        from clearseek.cli.files import write_new_text

        write_new_text(html, html_page(examination))
    if json_:
        document = examination.as_json()
        if solution and target:
            document["solution"] = next(s for s in document["solved"] if s["target"] == target)
        _print_json(document)
    elif html:
        print(f"{html}: {examination.verdict.headline}")
    elif solution:
        from clearseek.audit.text_report import solution_report

        _console().print(solution_report(claim, solution))
    else:
        from clearseek.audit.text_report import Report

        _console().print(Report(examination))
    if examination.says_no:
        raise typer.Exit(3)


def _compare(names: tuple[str, str], changes: dict[str, str], json_: bool, html: Path | None) -> None:
    if changes or html:
        raise UsageError("--compare shows two claims as they are, in the terminal or as --json.")
    from clearseek.audit.compare import side_by_side

    comparison = side_by_side(*(_load(name, {}) for name in names))
    if json_:
        _print_json(comparison.as_json())
    else:
        from clearseek.audit.text_report import comparison_report

        _console().print(comparison_report(comparison))


def _list(json_: bool) -> None:
    from clearseek.audit.summary import summaries

    result = summaries()
    if json_:
        return _print_json([summary.as_json() for summary in result])
    from clearseek.audit.text_report import listing

    console = _console()
    console.print(listing(result))
    console.print("\n`clearseek audit NAME` shows the arithmetic.", style="dim", markup=False)
    return None


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False)


def _print_json(document: Any) -> None:
    import json

    print(json.dumps(document, ensure_ascii=False, allow_nan=False))
