"""`clearseek receipt`: make, show and check the proof of a training run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from clearseek.receipts.outcome import Verification

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]


@app.command("show")
def show(
    what: Annotated[str, typer.Argument(metavar="FILE|RUN|MODEL", help="A receipt, a run or an installed model.")],
    html: Annotated[Path | None, typer.Option(help="Write it as one self-contained HTML page.")] = None,
    as_json: Json = False,
) -> None:
    """What a run took and what it was made of; for a model that others made, its origin card."""
    from clearseek.cli.files import write_new_text
    from clearseek.receipts.lineage import lineage_of
    from clearseek.receipts.verify import glance

    path = _receipt_path(what)
    if path is None:
        _show_origin(what, html, as_json)
        return
    verification = glance(path)
    statement = verification.statement
    if statement is None:
        _fail(verification)
    lineage = lineage_of(statement, path, verification.public)
    if html is not None:
        from clearseek.receipts.show_page import receipt_page

        write_new_text(html, receipt_page(statement, verification, lineage))
    if as_json:
        all_runs = lineage.as_json()
        _print_json({"statement": statement, "verification": verification.as_json(), "all_runs": all_runs})
    elif html is not None:
        typer.echo(f"{html} shows the receipt of {statement['predicate']['run']['name']}.")
    else:
        from clearseek.cli.receipt_text import print_receipt

        print_receipt(statement, verification, lineage)
    if not verification.ok:
        _fail(verification)


@app.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(help="A receipt, the run folder that holds it, or a model's or run's name.")],
    models: Annotated[Path | None, typer.Option(help="A folder to look for the weights in.")] = None,
    key: Annotated[
        str | None, typer.Option(help="Whom to trust: a file of public keys, or a public key or keyid in hex.")
    ] = None,
    require: Annotated[
        str | None,
        typer.Option(
            help="What must have been checked: weights, ledger, signer and so on; none; a wrong word lists all."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option(help="Everything that the receipt names must have been checked.")] = False,
    timestamp: Annotated[
        Path | None, typer.Option(help="A timestamp token (RFC 3161) of the receipt; needs --authority.")
    ] = None,
    authority: Annotated[
        Path | None, typer.Option(help="The certificates of the timestamp authority that you trust, in PEM.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a receipt and everything that it names and that is within reach. Exit code 0: what was asked for was
    checked and is in order (weights, ledger and signer, unless --require says otherwise); 3: something is wrong; 4:
    nothing is wrong, and something that was asked for could not be checked."""
    from clearseek.errors import NotChecked, UsageError
    from clearseek.receipts.requirements import required_of
    from clearseek.receipts.verify import verify as check

    if (timestamp is None) != (authority is None):
        raise UsageError("A timestamp is checked against an authority: give both --timestamp and --authority.")
    required = required_of(require, strict=strict)
    path = _needed(file)
    verification = check(path, models=models, key=key)
    if timestamp is not None and authority is not None:
        from clearseek.receipts.timestamp import check_timestamp

        verification.checks.append(check_timestamp(path, timestamp, authority))
    if as_json:
        _print_json(verification.as_json(required))
    else:
        from clearseek.cli.receipt_text import print_checks

        print_checks(verification, required)
    if not verification.ok:
        _fail(verification)
    if missing := verification.missing(required):
        raise NotChecked(
            f"Nothing is wrong with this receipt, and not everything that was asked for could be checked: "
            f"{', '.join(missing)}."
        )


@app.command("make")
def make(
    run: Annotated[Path, typer.Argument(metavar="RUN_FOLDER", help="A finished run: recipe, ledger and model.")],
    as_json: Json = False,
) -> None:
    """Make the receipt of a run folder and sign it with this machine's key."""
    from clearseek.receipts.gather import sha256_of
    from clearseek.receipts.statement import make_receipt

    path = make_receipt(run)
    if as_json:
        _print_json({"file": str(path), "sha256": sha256_of(path)})
    else:
        typer.echo(f"{path} is the receipt; `clearseek receipt verify {path}` checks it.")


@app.command("replay")
def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or the name of a run.")],
    segments: Annotated[int, typer.Option(min=1, max=1000, help="How many segments to do again.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Which ones: the same seed draws the same.")] = 0,
    as_json: Json = False,
) -> None:
    """Do parts of a run again, between checkpoints drawn at random, and compare the weights. With the same arithmetic
    (processor, libraries, compiler, threads) every bit must be the same: exit code 3 if one is not. With another they
    are compared within a tolerance: exit code 4 if they are further apart, which shows nothing."""
    import sys

    from clearseek.cli.train import need_torch
    from clearseek.errors import CheckFailed, NotChecked, UserError
    from clearseek.settings import home

    path = None if run.is_dir() else _receipt_path(str(run))
    folder = run if run.is_dir() else path.parent if path else home() / "runs" / run
    from clearseek.training.run import run_folder

    if (folder / "receipt.json").is_file() and not (folder / run_folder.STATUS).is_file():
        raise UserError(run_folder.no_run(folder))
    need_torch()
    from clearseek.training.publish.replay import TOLERANCE
    from clearseek.training.publish.replay import replay as again

    done = again(folder, segments, seed, lambda line: print(line, file=sys.stderr))
    if as_json:
        _print_json(done.as_json())
    else:
        exact = all(result.same_bits for result in done.results)
        how = "the same bits" if exact else f"compared within {TOLERANCE:.0%} of the weights' change"
        typer.echo(f"{len(done.results)} of {done.possible} segments of {done.run} were done again: {how}.")
        if words := done.words():
            typer.echo(words)
    if done.refuted:
        wrong = done.refuted[0]
        raise CheckFailed(
            f"Steps {wrong.segment.start} to {wrong.segment.end} do not give the weights of the checkpoint: they are "
            f"apart by {wrong.apart:.3g} of what the steps changed."
        )
    if done.open_ones:
        one = done.open_ones[0]
        raise NotChecked(
            f"Steps {one.segment.start} to {one.segment.end} came out apart by {one.apart:.3g} of what they changed, "
            "with another arithmetic than the run's: that neither shows that they are real nor that they are not."
        )


@app.command("key")
def key(as_json: Json = False) -> None:
    """This machine's public key, by which others know its receipts. Made on first use."""
    from clearseek.receipts.signing import key_folder, public_pem, signing_key

    own = signing_key()
    if as_json:
        pem = public_pem(own.public)
        _print_json({"keyid": own.keyid, "public_key": own.public.hex(), "pem": pem, "algorithm": "ed25519"})
    else:
        typer.echo(public_pem(own.public), nl=False)
        typer.echo(f"keyid {own.keyid}\nIt is in {key_folder() / 'signing.pub'}; publish it where people know you.",
                   err=True)  # fmt: skip


@app.command("timestamp")
def timestamp(
    file: Annotated[Path, typer.Argument(help="A receipt, or the run folder that holds it.")],
    url: Annotated[str, typer.Option(help="The address of a timestamp authority (RFC 3161).")],
    as_json: Json = False,
) -> None:
    """Have an authority confirm that a receipt exists now; only the receipt's hash is sent."""
    from clearseek.receipts.timestamp import request_timestamp

    path = _needed(file)
    token, moment = request_timestamp(path, url)
    if as_json:
        _print_json({"file": str(token), "at": moment})
    else:
        typer.echo(f"{token} says that the receipt existed at {moment}.")


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="A receipt, or the run folder that holds it.")],
    kind: Annotated[str, typer.Option("--as", help="model-signing (OpenSSF) or sigstore.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    as_json: Json = False,
) -> None:
    """Sign the same weights or the same receipt in the form that other tools check."""
    from clearseek.receipts.export import export_receipt

    path = _needed(file)
    written = export_receipt(path, kind, out)
    if as_json:
        _print_json({"file": str(out), "as": kind})
    else:
        typer.echo(written)


def _receipt_path(what: str) -> Path | None:
    """The receipt that a word means: a file, a run folder, a run's name, or an installed model that has one."""
    from clearseek.receipts.statement import RECEIPT
    from clearseek.settings import home

    path = Path(what).expanduser()
    if path.is_dir():
        return path / RECEIPT
    if path.exists() or path.suffix == ".json" or "/" in what:
        return path
    for place in ("runs", "models"):
        known = home() / place / what / RECEIPT
        if what not in ("", ".", "..") and known.is_file():
            return known
    return None


def _needed(file: Path) -> Path:
    """The receipt that is meant, where there must be one. Raises UserError for a model that others made."""
    path = _receipt_path(str(file))
    if path is None:
        from clearseek.errors import UserError
        from clearseek.receipts.origin import OriginCard, installed_proof

        proof = installed_proof(str(file))
        if isinstance(proof, OriginCard):
            raise UserError(
                f"{proof.name} has no receipt, because others made it; `clearseek receipt show {proof.name}` tells "
                "where it comes from."
            )
    return path or file


def _show_origin(name: str, html: Path | None, as_json: bool) -> None:
    from clearseek.receipts.origin import OriginCard, installed_proof

    proof = installed_proof(name)
    if html is not None and isinstance(proof, OriginCard):
        from clearseek.cli.files import write_new_text
        from clearseek.receipts.show_page import origin_page

        write_new_text(html, origin_page(proof))
        if not as_json:
            typer.echo(f"{html} shows where {proof.name} comes from.")
    if as_json:
        _print_json(proof.as_json())
    elif html is None:
        from clearseek.cli.receipt_text import print_proof

        print_proof(proof)


def _fail(verification: Verification) -> NoReturn:
    from clearseek.cli.receipt_text import plain
    from clearseek.errors import CheckFailed

    first = verification.failed[0]
    more = f" ({len(verification.failed) - 1} more)" if len(verification.failed) > 1 else ""
    raise CheckFailed(f"This receipt does not verify, at `{plain(first.field)}`: {plain(first.said)}{more}")


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False))
