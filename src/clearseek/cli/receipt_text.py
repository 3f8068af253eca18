"""How receipts, checks and origin cards read in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from clearseek.receipts.lineage import Lineage
    from clearseek.receipts.origin import OriginCard, ReceiptCard
    from clearseek.receipts.outcome import Verification
    from clearseek.receipts.predicate import QuantityJson, Statement

_SIGNS = {"ok": "✓", "failed": "✗", "not checked": "·"}


def print_proof(proof: ReceiptCard | OriginCard) -> None:
    """An origin card or a receipt in short, for a terminal."""
    from clearseek.receipts.origin import OriginCard

    _origin(_console(), proof) if isinstance(proof, OriginCard) else _card(_console(), proof)


def print_receipt(statement: Statement, verification: Verification, lineage: Lineage) -> None:
    from rich.table import Table

    from clearseek.receipts.words import cost_rows, made_words, stage_name

    console, predicate = _console(), statement["predicate"]
    console.print(f"[bold]{_safe(predicate['run']['name'])}[/bold]  training receipt, version {predicate['version']}")
    console.print(_safe(made_words(predicate)))
    if verification.ok:
        console.print("[green]Its signature fits and its sums add up.[/green]", _signer(verification))
    _title(console, "What it took" if not lineage.ancestors else "What this run took, the last of several")
    facts = _facts()
    for name, quantity in cost_rows(predicate):
        facts.add_row(name, _number(quantity), f"[dim]{_safe(quantity.how)}[/dim]")
    console.print(facts)
    _all_runs(console, lineage)

    _title(console, "Stages")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("stage", "time", "energy", "money", "tokens in / out", "computation"):
        table.add_column(title, justify="left" if title == "stage" else "right", no_wrap=title != "stage")
    for stage in predicate["stages"]:
        value = stage["quantities"]
        kind = f" [dim]{_safe(stage['kind'])}[/dim]" if stage["kind"] else ""
        table.add_row(
            f"{_safe(stage_name(stage))}{kind}",
            *(_short(value.get(name)) for name in ("wall", "energy", "money")),
            " / ".join(_short(value.get(name)) for name in ("prompt_tokens", "completion_tokens")),
            _short(value.get("flops")),
        )
    console.print(table)

    _title(console, "What it was made of")
    facts = _facts()
    base = predicate["base"]
    began = f"{base['name']}  {base['digest']['sha256'][:16]}" if base else "nothing"
    if base and "adapter" in base:
        began += f", with the adapter {base['adapter']['name']}  {base['adapter']['digest']['sha256'][:16]}"
    facts.add_row("base", _safe(began))
    for parent in predicate["parents"]:
        facts.add_row("builds on", f"the receipt of {_safe(parent['name'])}  {parent['digest']['sha256'][:16]}")
    for data in predicate["data"]:
        named = (data["name"], data.get("description"), data.get("license"))
        facts.add_row("data", _safe(", ".join(str(part) for part in named if part is not None)))
    facts.add_row("recipe", f"{_safe(predicate['recipe']['path'])}  {predicate['recipe']['digest']['sha256'][:16]}")
    code = predicate["code"]
    facts.add_row("code", f"{_safe(code['name'])} {_safe(code['version'])}  {code['digest']['sha256'][:16]}")
    machine = predicate["machine"]
    facts.add_row("machine", _safe(f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"))
    for attempt in predicate["attempts"]:
        why = f", {attempt['why']}" if attempt["why"] else ""
        facts.add_row("attempt", _safe(f"{attempt['attempt'] or '-'}: {attempt['state']}{why}"))
    for evaluation in predicate["evaluations"]:
        from clearseek.ledger.quantity import Quantity

        for name, result in evaluation["results"].items():
            facts.add_row(
                "result", f"{_safe(evaluation['name'])}, {_safe(name)}: {_number(Quantity.from_json(result))}"
            )
    facts.add_row("ledger", f"{predicate['ledger']['entries']:,} entries, head {predicate['ledger']['head'][:16]}")
    console.print(facts)

    _title(console, "What came out")
    facts = _facts()
    for file in statement["subject"][:20]:
        facts.add_row(_safe(file["name"]), f"{file['annotations']['bytes']:,} bytes  {file['digest']['sha256'][:16]}")
    if len(statement["subject"]) > 20:
        facts.add_row("", f"and {len(statement['subject']) - 20} more")
    console.print(facts)
    _limits(console, verification)
    console.print("\n[dim]● measured  ◐ modelled  ○ declared  ? unknown[/dim]")


def print_checks(verification: Verification, required: Sequence[str] = ()) -> None:
    """The outcome in the first lines, then every check, then what no receipt proves."""
    from rich.table import Table

    console = _console()
    _outcome(console, verification, required)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    colours = {"ok": "green", "failed": "red", "not checked": "dim"}
    for check in verification.checks:
        field = f"\n[dim]{_safe(check.field)}[/dim]" if check.state == "failed" else ""
        sign = f"[{colours[check.state]}]{_SIGNS[check.state]}[/]"
        table.add_row(sign, check.name, _safe(check.said) + field)
    console.print(table)
    _limits(console, verification)


def _outcome(console: Console, verification: Verification, required: Sequence[str]) -> None:
    from clearseek.receipts.words import counted

    files = {state: counted(verification.checks, state) for state in _SIGNS}
    missing = verification.missing(required)
    if not verification.ok:
        what = ", ".join(dict.fromkeys(check.name for check in verification.failed))
        console.print(f"[red]This receipt is not in order[/red]: {what}.")
    elif missing:
        console.print(f"[yellow]Nothing is wrong, but this could not be checked[/yellow]: {', '.join(missing)}.")
    else:
        asked = f" ({', '.join(required)})" if required else ""
        console.print(f"[green]What was asked for was checked and is in order[/green]{asked}.")
    console.print(f"Checked: {files['ok']}. Could not be checked: {files['not checked']}.")


def _all_runs(console: Console, lineage: Lineage) -> None:
    """What all took together, where there was more than one run."""
    if not lineage.ancestors:
        return
    from clearseek.receipts.words import all_runs_rows, lineage_words

    _title(console, "What all runs took together")
    console.print(_safe(lineage_words(lineage)))
    facts = _facts()
    for name, quantity in all_runs_rows(lineage):
        facts.add_row(name, _number(quantity), f"[dim]{_safe(quantity.how)}[/dim]")
    console.print(facts)


def _limits(console: Console, verification: Verification) -> None:
    from rich.padding import Padding

    _title(console, "What a receipt cannot prove")
    for limit in verification.cannot_prove:
        what, _, why = limit.partition(". ")
        console.print(Padding(f"{_safe(what)}. [dim]{_safe(why)}[/dim]", (0, 0, 0, 2)))


def _origin(console: Console, card: OriginCard) -> None:
    console.print("[bold]Origin[/bold]: made by others; no receipt is possible, because nothing of it was metered.")
    facts = _facts()
    facts.add_row("comes from", _safe(card.source_words))
    facts.add_row("revision", _safe(card.revision or "unknown"))
    facts.add_row("licence", _safe(card.licence or "unknown"))
    facts.add_row("as fetched", card.fetched or "unknown")
    facts.add_row("as served", card.served or "unknown")
    facts.add_row("changed here", _safe("; ".join(card.changes) or "nothing"))
    for what, why in card.unknown:
        facts.add_row("unknown", f"{_safe(what)}: [dim]{_safe(why)}[/dim]")
    console.print(facts)


def _card(console: Console, card: ReceiptCard) -> None:
    from clearseek.receipts.words import cost_rows, made_words

    console.print(f"[bold]Receipt[/bold] {card.sha256[:16]}. {_safe(card.signed)}")
    for problem in card.problems:
        console.print(f"[red]✗ {_safe(problem)}[/red]")
    if card.statement is None:
        return
    predicate = card.statement["predicate"]
    console.print(_safe(made_words(predicate)))
    facts = _facts()
    for name, quantity in cost_rows(predicate):
        facts.add_row(name, _number(quantity))
    console.print(facts)
    if card.lineage is not None:
        _all_runs(console, card.lineage)
    console.print(f"[dim]`clearseek receipt show {card.name}` shows all of it, `verify` checks it.[/dim]")


def _signer(verification: Verification) -> str:
    return next((_safe(check.said) for check in verification.checks if check.name == "signer"), "")


def _number(quantity: Any) -> str:
    from clearseek.report.figures import MARKS, say

    return f"{_safe(say(quantity))} [dim]{MARKS.get(str(quantity.basis), '?')}[/dim]"


def _short(json_quantity: QuantityJson | None) -> str:
    from clearseek.ledger.quantity import Quantity
    from clearseek.report.figures import MARKS, figure

    if json_quantity is None:
        return "-"
    quantity = Quantity.from_json(json_quantity)
    mark = f"[dim]{MARKS[str(quantity.basis)]}[/dim]"
    return (
        f"{figure(quantity.value, quantity.unit).removesuffix(' tokens')} {mark}"
        if quantity.value is not None
        else mark
    )


def _facts() -> Any:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    return table


def _title(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]")


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=100)


def plain(text: str) -> str:
    """What others wrote, without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _safe(text: object) -> str:
    from rich.markup import escape

    return escape(plain(str(text)))
