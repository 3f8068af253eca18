"""A receipt, or an origin card, as one self-contained HTML page."""

from __future__ import annotations

from clearseek.ledger.quantity import Quantity
from clearseek.receipts.arithmetic import from_json
from clearseek.receipts.lineage import Lineage
from clearseek.receipts.origin import OriginCard
from clearseek.receipts.outcome import Verification
from clearseek.receipts.predicate import File, Predicate, Statement
from clearseek.receipts.statement import CANNOT_PROVE
from clearseek.receipts.words import (
    NAMES,
    all_runs_rows,
    cost_rows,
    day,
    lineage_words,
    made_words,
    share,
    stage_name,
)
from clearseek.report.page import (
    Html,
    basis_legend,
    definitions,
    digest,
    element,
    items,
    join,
    number,
    page,
    paragraph,
    section,
    table,
)

_COLUMNS = ("wall", "energy", "money", "prompt_tokens", "completion_tokens", "flops")
_MOST_FILES = 200


def receipt_page(statement: Statement, verification: Verification, lineage: Lineage) -> str:
    """The whole document. `verification` says at the top whether it is in order, `lineage` what it builds on."""
    predicate = statement["predicate"]
    body = join(
        paragraph(made_words(predicate), class_="lead"),
        _state(verification),
        _cost(predicate, last_of_several=bool(lineage.ancestors)),
        _all_runs(lineage),
        _stages(predicate),
        _attempts(predicate),
        _evaluations(predicate),
        _made_of(predicate),
        _subject(statement["subject"]),
        _machine(predicate),
        _books(predicate),
        section(
            "What a receipt cannot prove",
            items(
                join(element("b", limit["what"]), " ", limit["why"], _references(limit["references"]))
                for limit in CANNOT_PROVE
            ),
        ),
        basis_legend(),
    )
    return page(f"Receipt: {predicate['run']['name']}", body)


def origin_page(card: OriginCard) -> str:
    """The whole document."""
    facts: list[tuple[object, object]] = [
        ("Comes from", card.source_words),
        ("Source", card.source),
        ("Revision", card.revision or "unknown"),
        ("Licence", card.licence or "unknown"),
        ("Architecture", card.architecture or "unknown"),
        ("Parameters", f"{card.parameters:,}" if card.parameters is not None else "unknown"),
        ("Quantisation", card.quantisation or "unknown"),
        ("SHA-256 as fetched", digest(card.fetched) if card.fetched else "unknown"),
        ("SHA-256 as served", digest(card.served) if card.served else "unknown"),
        ("What was done to it here", "; ".join(card.changes) or "nothing"),
    ]
    body = join(
        paragraph("This model was made by others. This card says where it comes from, and what is not known.",
                  class_="lead"),
        paragraph(card.description) if card.description else None,
        section("What is known", definitions(facts)),
        section("What is unknown", items(join(element("b", what), ": ", why, ".") for what, why in card.unknown)),
    )  # fmt: skip
    return page(f"Origin: {card.name}", body)


def _state(verification: Verification) -> Html:
    if verification.failed:
        return element(
            "div",
            paragraph(element("b", "This receipt is not in order."), class_="bad"),
            items(join(check.said, " ", element("code", check.field)) for check in verification.failed[:20]),
        )
    signer = next((check for check in verification.checks if check.name == "signer"), None)
    return paragraph(
        element("span", "Its signature fits and its sums add up.", class_="good"),
        " ",
        signer.said if signer else "",
        " Whether files and ledger are what it says is checked by ",
        element("code", "clearseek receipt verify"),
        ".",
    )


def _cost(predicate: Predicate, *, last_of_several: bool) -> Html:
    title = "What this run took, the last of several" if last_of_several else "What it took"
    return section(title, _quantities(cost_rows(predicate)))


def _all_runs(lineage: Lineage) -> Html | None:
    if not lineage.ancestors:
        return None
    columns = ("wall", "flops", "money")
    rows = []
    for name, predicate in reversed(lineage.runs):
        totals = from_json(predicate["totals"])
        rows.append([name, *(number(totals[column]) if column in totals else "unknown" for column in columns)])
    rows += [[name, *("unknown" for _ in columns)] for name in lineage.missing]
    return section(
        "What all runs took together",
        paragraph(lineage_words(lineage)),
        _quantities(all_runs_rows(lineage)),
        table(["Run", *(NAMES[name] for name in columns)], rows, numeric=(1, 2, 3)),
    )


def _quantities(rows: list[tuple[str, Quantity]]) -> Html:
    return definitions([(name, join(number(quantity), " ", element("small", quantity.how))) for name, quantity in rows])


def _stages(predicate: Predicate) -> Html:
    stages = [(stage, from_json(stage["quantities"])) for stage in predicate["stages"]]
    there = [name for name in _COLUMNS if any(name in quantities for _, quantities in stages)]
    totals = from_json(predicate["totals"])
    names = [join(stage_name(s), element("small", f" {s['kind']}") if s["kind"] else None) for s, _ in stages]
    rows = [
        [name, *(number(quantities[one]) if one in quantities else "" for one in there)]
        for name, (_, quantities) in zip(names, stages, strict=True)
    ]
    foot = ["Total", *(number(totals[name]) if name in totals else "" for name in there)]
    spent = table(["Stage", *(NAMES[name] for name in there)], rows, numeric=range(1, len(there) + 1), foot=foot)
    if len(stages) < 2:
        return section("Stages", spent)
    shares = [
        [name, *(_bar(share(quantities.get(one), totals.get(one))) for one in ("wall", "energy"))]
        for name, (_, quantities) in zip(names, stages, strict=True)
    ]
    return section("Stages", spent, table(["Stage", "Share of the time", "Share of the energy"], shares))


def _bar(part: float | None) -> Html:
    if part is None:
        return element("span", "unknown", class_="quiet")
    # a drawn bar and the figure: the bar alone tells nothing to who cannot see it
    drawn = element("span", style=f"width:{max(part, 0.004) * 100:.1f}%", class_="fill")
    return element("span", element("span", drawn, class_="bar", aria_hidden="true"), f" {part:.0%}", class_="share")


def _attempts(predicate: Predicate) -> Html | None:
    attempts = predicate["attempts"]
    if len(attempts) < 2 and all(attempt["state"] == "completed" for attempt in attempts):
        return None
    rows = []
    for one in attempts:
        quantities = from_json(one["quantities"])
        cells = [number(quantities[name]) if name in quantities else "" for name in ("wall", "money")]
        rows.append([one["attempt"] or "-", one["state"], one["why"], *cells])
    columns = ["Attempt", "How it ended", "Why", "Time", "Money"]
    return section("Attempts", table(columns, rows, numeric=(3, 4)))


def _evaluations(predicate: Predicate) -> Html | None:
    rows = [
        [evaluation["name"], name, number(Quantity.from_json(result)), result["how"]]
        for evaluation in predicate["evaluations"]
        for name, result in evaluation["results"].items()
    ]
    if not rows:
        return None
    return section("Evaluations", table(["Evaluation", "Result", "Value", "How"], rows, numeric=(2,)))


def _made_of(predicate: Predicate) -> Html:
    base, recipe, code = predicate["base"], predicate["recipe"], predicate["code"]
    began = join(base["name"], " ", digest(base["digest"]["sha256"])) if base else "nothing: its weights were made here"
    if base and "adapter" in base:
        began = join(
            began, f", with the adapter {base['adapter']['name']} ", digest(base["adapter"]["digest"]["sha256"])
        )
    facts: list[tuple[object, object]] = [
        ("Began from", began),
        ("Recipe", join(recipe["path"], " ", digest(recipe["digest"]["sha256"]))),
        ("Code", join(f"{code['name']} {code['version']} ", digest(code["digest"]["sha256"]))),
    ]
    for one in predicate["data"]:
        more = (one.get("description"), one.get("license"), one.get("version"))
        named = [one["name"], *(str(part) for part in more if part is not None)]
        digests = [digest(file["sha256"]) for file in one["distribution"]]
        facts.append(("Data", join(", ".join(named), *(join(" ", part) for part in digests))))
    for parent in predicate["parents"]:
        facts.append(("Builds on the receipt", join(parent["name"], " ", digest(parent["digest"]["sha256"]))))
    return section("What it was made of", definitions(facts))


def _subject(subject: list[File]) -> Html:
    rows = [[file["name"], f"{file['annotations']['bytes']:,}", digest(file["digest"]["sha256"])] for file in subject]
    more = paragraph(f"And {len(rows) - _MOST_FILES} more.") if len(rows) > _MOST_FILES else None
    return section("What came out", table(["File", "Bytes", "SHA-256"], rows[:_MOST_FILES], numeric=(1,)), more)


def _machine(predicate: Predicate) -> Html:
    machine, environment = predicate["machine"], predicate["environment"]
    facts: list[tuple[object, object]] = [
        ("System", machine["system"]),
        ("Processor", f"{machine['processor']}, {machine['cores']} cores"),
        ("Memory", number(Quantity.from_json(machine["memory"]))),
        ("Accelerators", ", ".join(machine["accelerators"]) or "none"),
        ("Python", environment["python"]),
        ("Packages", ", ".join(f"{name} {version}" for name, version in environment["packages"].items())),
    ]
    prices = from_json(predicate["prices"])
    names = {"machine_usd_per_hour": "Price of the machine", "electricity_usd_per_kwh": "Price of electricity"}
    facts += [(names.get(name, name), number(price)) for name, price in prices.items()]
    return section("Where it ran", definitions(facts))


def _books(predicate: Predicate) -> Html:
    ledger, signer = predicate["ledger"], predicate["signer"]
    checkpoints = sum(len(checkpoint["files"]) for checkpoint in predicate["checkpoints"])
    return section(
        "What ties it together",
        definitions([
            ("Ledger", f"{ledger['entries']:,} entries, each with the hash of the one before"),
            ("Last entry", digest(ledger["head"])),
            ("Checkpoints", f"{len(predicate['checkpoints'])}, of {checkpoints} files"),
            ("Signed by", digest(signer["keyid"])),
            ("Signed", day(predicate["made"]["at"])),
        ]),
    )  # fmt: skip


def _references(references: list[str]) -> str:
    return f" ({', '.join(references)})" if references else ""
