"""A receipt verifies as it is, and any change of it or of what it speaks of is found and named."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clearseek.errors import UsageError, UserError
from clearseek.ledger.book import Book
from clearseek.ledger.canonical import canonical
from clearseek.ledger.entry import Draft
from clearseek.ledger.quantity import measured
from clearseek.receipts import Verification, verify
from clearseek.receipts.envelope import MAX_BYTES, pae, read_envelope, write_envelope
from clearseek.receipts.signing import SigningKey, keyid_of, public_pem, signing_key
from clearseek.receipts.statement import CANNOT_PROVE, make_receipt, write_receipt
from clearseek.receipts.verify import glance

Forge = Callable[..., Path]
MANY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def failed_fields(verification: Verification) -> set[str]:
    return {check.field for check in verification.failed}


def states(verification: Verification) -> dict[str, str]:
    """The worst state of each check."""
    order = ["ok", "not checked", "failed"]
    found: dict[str, str] = {}
    for check in verification.checks:
        found[check.name] = max(found.get(check.name, "ok"), check.state, key=order.index)
    return found


def test_a_real_run_verifies(trained: Path, key: SigningKey) -> None:
    verification = verify(trained, key=key.keyid)
    assert verification.failed == []
    found = states(verification)
    found.pop("code")  # someone may have edited a source file since the run: see below
    assert set(found.values()) == {"ok"}
    wanted = {"envelope", "form", "signature", "signer", "dates", "weights", "checkpoints", "evaluations", "recipe"}
    wanted |= {"data", "ledger", "sums", "times", "machine", "FLOPs", "money", "arithmetic"}
    assert set(found) == wanted
    assert len(verification.cannot_prove) == len(CANNOT_PROVE) >= 5
    assert any("no other run" in limit for limit in verification.cannot_prove)


def test_other_code_is_told_and_not_held_against_it(run: Path, forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    code = read_envelope((run / "receipt.json").read_bytes()).statement["predicate"]["code"]
    monkeypatch.setattr("clearseek.receipts.gather.code", lambda: code)
    assert states(verify(run))["code"] == "ok"
    forge(run, set_at("predicate.code.version", "0.0.1"))
    forge(run, set_at("predicate.code.digest.sha256", "0" * 64))
    verification = verify(run)
    assert verification.ok
    assert any("another ClearSeek (0.0.1)" in check.said for check in verification.checks if check.name == "code")


def test_the_receipt_says_what_the_run_did(trained: Path) -> None:
    statement = read_envelope((trained / "receipt.json").read_bytes()).statement
    predicate = statement["predicate"]
    assert [stage["name"] for stage in predicate["stages"]] == ["warm-up", "main"]
    assert [stage["entry_kinds"] for stage in predicate["stages"]] == [{"train": 6}, {"train": 6}]
    assert predicate["totals"]["prompt_tokens"]["value"] == 12 * 64
    assert predicate["totals"]["flops"]["basis"] == "modelled"
    assert predicate["totals"]["money"]["basis"] == "declared"
    assert predicate["totals"]["energy"]["low"] < predicate["totals"]["energy"]["value"]
    assert [one["state"] for one in predicate["attempts"]] == ["failed", "resumed"]
    assert [file["name"] for file in statement["subject"]] == ["model/config.json", "model/weights.bin"]
    assert predicate["recipe"]["resolved"]["stage"][0] == {"kind": "sft", "steps": 6}
    assert "numpy" in predicate["environment"]["packages"]
    assert predicate["cannot_prove"] == list(CANNOT_PROVE)


def changed(content: bytes, position: int, other: int) -> bytes:
    at = position % len(content)
    return content[:at] + bytes([content[at] ^ other]) + content[at + 1 :]


@MANY
@given(position=st.integers(0, 10**9), other=st.integers(1, 255))
def test_any_changed_byte_of_a_receipt_is_found(trained: Path, tmp_path: Path, position: int, other: int) -> None:
    path = tmp_path / "receipt.json"
    path.write_bytes(changed((trained / "receipt.json").read_bytes(), position, other))
    verification = verify(path)
    assert not verification.ok
    assert all(check.field and check.said.endswith(".") for check in verification.failed)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_single_byte_of_a_receipt_counts(trained: Path, tmp_path: Path) -> None:
    whole, path = (trained / "receipt.json").read_bytes(), tmp_path / "receipt.json"
    for position in range(len(whole)):
        path.write_bytes(changed(whole, position, 1 + position % 255))
        assert not glance(path).ok, position


@pytest.mark.slow
@MANY
@given(position=st.integers(0, 10**9), other=st.integers(1, 255))
def test_any_changed_byte_of_the_ledger_is_found(trained: Path, run: Path, position: int, other: int) -> None:
    original = (trained / "ledger.jsonl").read_bytes()
    (run / "ledger.jsonl").write_bytes(changed(original, position, other))
    verification = verify(run)
    assert {check.name for check in verification.failed} == {"ledger"}
    (check,) = verification.failed
    line = original[: position % len(original)].count(b"\n") + 1
    # where the changed byte is a newline, two lines became one
    assert f"line {line}" in check.field or original[position % len(original)] == ord("\n")


@pytest.mark.slow
@MANY
@given(
    name=st.sampled_from(["model/weights.bin", "model/config.json", "checkpoints/step-000006/weights.bin"]),
    position=st.integers(0, 10**9),
    other=st.integers(1, 255),
)
def test_any_changed_byte_of_a_file_is_found(trained: Path, run: Path, name: str, position: int, other: int) -> None:
    (run / name).write_bytes(changed((trained / name).read_bytes(), position, other))
    try:
        verification = verify(run)
    finally:
        shutil.copy(trained / name, run / name)
    (check,) = verification.failed
    assert name in check.said
    assert check.field.endswith("digest.sha256")


@MANY
@given(data=st.data())
def test_a_liar_with_a_key_is_caught_by_the_arithmetic(
    trained: Path, run: Path, forge: Forge, data: st.DataObject
) -> None:
    """Any number of the sums, changed and signed again: the ledger beside it and the other sums say no."""
    shutil.copy(trained / "receipt.json", run / "receipt.json")
    predicate = read_envelope((run / "receipt.json").read_bytes()).statement["predicate"]
    places = [("totals",)] + [(name, index, "quantities") for name in ("stages", "attempts") for index in (0, 1)]
    place = data.draw(st.sampled_from(places))
    names = predicate
    for step in place:
        names = names[step]
    quantity = data.draw(st.sampled_from(sorted(names)))

    def lie(statement: dict[str, Any]) -> None:
        there = statement["predicate"]
        for step in place:
            there = there[step]
        for end in ("value", "low", "high"):
            if end in there[quantity]:
                there[quantity][end] *= 1.01

    forge(run, lie)
    path = "predicate" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    assert f"{path}.{quantity}" in failed_fields(verify(run))


def set_at(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(statement: dict[str, Any]) -> None:
        there: Any = statement
        *steps, last = path.replace("[", ".[").split(".")
        for step in steps:
            there = there[int(step[1:-1]) if step.startswith("[") else step]
        there[int(last[1:-1]) if last.startswith("[") else last] = value

    return change


SOON = f"{datetime.now(UTC).year + 2}-01-01T00:00:00Z"  # the same for every process that collects the tests


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("predicate.made.at", SOON, "lies in the future"),
        ("predicate.made.at", "2001-01-01T00:00:00Z", "before the run ended"),
        ("predicate.run.finished_at", "2001-01-01T00:00:00Z", "ended before it began"),
        ("predicate.run.started_at", "2026-13-45T00:00:00Z", "is no date"),
        ("predicate.ledger.head", "0" * 64, "last entry is not the one"),
        ("predicate.ledger.entries", 23, "1 entries were added since"),
        ("predicate.ledger.healed", 1, "healed 0 times"),
        ("predicate.ledger.digest.sha256", "0" * 64, "not the file of the receipt"),
        ("predicate.stages[1].entries", 7, "not what the ledger's entries give"),
        ("predicate.stages[0].name", "else", "other stages"),
        ("predicate.stages[0].flops_per_token.prompt_tokens.value", 385, "FLOPs per token"),
        ("predicate.prices.machine_usd_per_hour.value", 0.2, "declared prices"),
        ("predicate.prices", {}, "declares no price"),
        ("predicate.totals.prompt_tokens.basis", "declared", "its basis is declared"),
        ("predicate.totals.prompt_tokens.unit", "B", "the unit is B"),
        ("predicate.recipe.digest.sha256", "0" * 64, "recipe.toml was changed"),
        ("predicate.recipe.resolved", {"name": "other"}, "not the one in recipe.toml"),
        ("predicate.evaluations[0].results.accuracy.value", 0.99999, "not those in evaluations/accuracy.json"),
        ("predicate.data[0].distribution[0].sha256", "0" * 64, "not the data"),
        ("predicate.signer.keyid", "0" * 64, "keyid"),
        ("predicate.signer.public_key", "0" * 64, "signature does not fit"),
        ("subject[1].digest.sha256", "0" * 64, "model/weights.bin is not the file"),
        ("subject[1].name", "../../etc/passwd", "not have the form"),
        ("subject[1].name", "/etc/passwd", "not have the form"),
        ("predicateType", "urn:clearseek:training-receipt:v2", "of version 2"),
        ("predicateType", "https://slsa.dev/provenance/v1", "no training receipt"),
        ("_type", "https://in-toto.io/Statement/v0.1", "no in-toto statement"),
        ("predicate.extra", 1, "Additional properties"),
        ("predicate.totals.wall.basis", "guessed", "not have the form"),
        ("predicate.totals.wall.value", None, "A quantity has a value exactly when"),
    ],
)
def test_a_lie_is_named_with_its_field(run: Path, forge: Forge, path: str, value: object, said: str) -> None:
    forge(run, set_at(path, value))
    verification = verify(run)
    assert not verification.ok
    assert any(said in check.said for check in verification.failed), verification.failed
    near = path.split("[")[0].rsplit(".", 1)[0]
    assert any(near in check.field or check.field == "signatures[0].sig" for check in verification.failed) or (
        path in ("predicate.prices", "predicate.prices.machine_usd_per_hour.value", "predicate.extra")
    )


def test_a_newer_minor_version_is_checked_as_far_as_it_is_known(run: Path, forge: Forge) -> None:
    def newer(statement: dict[str, Any]) -> None:
        statement["predicate"]["version"] = "1.7"
        statement["predicate"]["more"] = {"x": 1}
        statement["predicate"]["totals"]["wall"]["more"] = 2

    forge(run, newer)
    verification = verify(run)
    # but a quantity is what it always was: one with another field cannot be read
    assert failed_fields(verification) == {"predicate.totals.wall"}
    forge(run, lambda statement: statement["predicate"]["totals"]["wall"].pop("more"))
    verification = verify(run)
    assert verification.ok
    assert "1.7" in next(check.said for check in verification.checks if check.name == "form")


def test_trust_needs_a_key(trained: Path, key: SigningKey, tmp_path: Path) -> None:
    assert states(verify(trained))["signer"] == "not checked"
    pem = tmp_path / "their.pub"
    pem.write_text(public_pem(key.public))
    hexadecimal = tmp_path / "their.hex"
    hexadecimal.write_text(f"{key.public.hex()}\n")
    for told in (
        key.keyid,
        key.public.hex(),
        f"sha256:{key.keyid}",
        str(pem),
        str(hexadecimal),
        public_pem(key.public),
    ):
        assert states(verify(trained, key=told))["signer"] == "ok"
    foreign = verify(trained, key="ab" * 32)
    assert failed_fields(foreign) == {"signatures[0].keyid"}
    for nonsense in ("abcd", "no-such-file", str(trained / "receipt.json"), "-----BEGIN PRIVATE KEY-----"):
        with pytest.raises(UsageError):
            verify(trained, key=nonsense)


def test_a_receipt_signed_again_by_another_is_whole_but_foreign(run: Path, key: SigningKey, tmp_path: Path) -> None:
    other = signing_key(tmp_path / "other")
    statement = read_envelope((run / "receipt.json").read_bytes()).statement
    statement["predicate"]["signer"] |= {"public_key": other.public.hex(), "keyid": other.keyid}
    write_receipt(run / "receipt.json", canonical(statement), other)
    assert verify(run).ok
    assert failed_fields(verify(run, key=key.keyid)) == {"signatures[0].keyid"}


def test_a_signature_by_another_than_the_named_key(run: Path, tmp_path: Path) -> None:
    other = signing_key(tmp_path / "other")
    envelope = read_envelope((run / "receipt.json").read_bytes())
    write_receipt(run / "receipt.json", envelope.payload, other)
    assert failed_fields(verify(run)) == {"signatures[0].sig"}
    assert failed_fields(verify(run, key=public_pem(other.public))) == {"predicate.signer.public_key"}


def test_without_the_run_folder_the_rest_is_still_checked(trained: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(trained / "receipt.json", tmp_path / "alone.json"))
    verification = verify(alone)
    assert verification.ok
    assert states(verification)["weights"] == "not checked"
    assert states(verification)["ledger"] == "not checked"
    assert states(verification)["arithmetic"] == "ok"
    # under other names, in another folder
    there = tmp_path / "models"
    there.mkdir()
    assert failed_fields(verify(alone, models=there)) == {"subject"}
    shutil.copy(trained / "model" / "weights.bin", there / "renamed.bin")
    verification = verify(alone, models=there)
    assert verification.ok
    assert any("model/weights.bin is what the receipt says" in check.said for check in verification.checks)
    # the folder that was named is what is asked about, however good the files beside the receipt are
    (there / "renamed.bin").write_bytes(b"?" * 256)
    assert failed_fields(verify(trained, models=there)) == {"subject"}
    (there / "renamed.bin").rename(there / "weights.bin")
    assert failed_fields(verify(trained, models=there)) == {"subject[1].digest.sha256"}
    with pytest.raises(UserError, match="not a folder"):
        verify(alone, models=tmp_path / "nowhere")


def test_in_the_model_store_other_weights_beside_a_receipt_are_found(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "small"
    folder.mkdir(parents=True)
    shutil.copy(trained / "receipt.json", folder)
    weights = (trained / "model" / "weights.bin").read_bytes()
    record = {
        "file": "x.gguf", "sha256": "0" * 64, "bytes": len(weights), "quant": "F32", "architecture": "none",
        "parameters": 64, "context": 1, "licence": None, "thinking": "native", "description": "", "source": "run:small",
        "original_sha256": "0" * 64,
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(record))
    (folder / "x.gguf").write_bytes(weights)
    assert verify(folder).ok
    (folder / "x.gguf").write_bytes(weights[:-1] + b"?")
    assert failed_fields(verify(folder)) == {"subject"}


def test_a_longer_and_a_shorter_ledger(run: Path) -> None:
    book = Book(run / "ledger.jsonl")
    book.append(Draft("train", quantities={"wall": measured(1, "s")}))
    assert failed_fields(verify(run)) == {"predicate.ledger.entries"}
    lines = (run / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (run / "ledger.jsonl").write_bytes(b"".join(lines[:-2]))
    (check,) = verify(run).failed
    assert "1 entries are missing from its end" in check.said


def test_parents_are_found_by_digest(trained: Path, tmp_path: Path, key: SigningKey, forge: Forge) -> None:
    from clearseek.receipts.gather import sha256_of

    child = Path(shutil.copytree(trained, tmp_path / "runs" / "child"))
    parent = Path(shutil.copytree(trained, tmp_path / "runs" / "first"))
    notes = json.loads((child / "run.json").read_text())
    digest = sha256_of(parent / "receipt.json")
    notes["parents"] = [{"name": "first", "digest": {"sha256": digest}}]
    notes["base"] = {"name": "first", "digest": {"sha256": sha256_of(parent / "model" / "weights.bin")}}
    (child / "run.json").write_text(json.dumps(notes))
    make_receipt(child, key=key)
    assert states(verify(child))["parents"] == "ok"
    forge(child, set_at("predicate.base.digest.sha256", "0" * 64))
    assert failed_fields(verify(child)) == {"predicate.base.digest.sha256"}
    forge(parent, set_at("predicate.run.name", "other"))  # another receipt now: the one meant is out of reach
    assert states(verify(child))["parents"] == "not checked"


def test_parents_of_parents_are_followed(trained: Path, tmp_path: Path, key: SigningKey, forge: Forge) -> None:
    from clearseek.receipts.gather import sha256_of

    runs = [Path(shutil.copytree(trained, tmp_path / "runs" / name)) for name in ("first", "second", "third")]
    for earlier, later in itertools.pairwise(runs):
        notes = json.loads((later / "run.json").read_text())
        notes["parents"] = [{"name": earlier.name, "digest": {"sha256": sha256_of(earlier / "receipt.json")}}]
        notes["base"] = {"name": earlier.name, "digest": {"sha256": sha256_of(earlier / "model" / "weights.bin")}}
        (later / "run.json").write_text(json.dumps(notes))
        make_receipt(later, key=key)
    told = [check for check in verify(runs[2]).checks if check.name == "parents"]
    assert {check.state for check in told} == {"ok"}
    wanted = "The receipt of first (run small), on which second builds, is the one meant, and its signature fits."
    assert wanted in [check.said for check in told]
    forge(runs[1], set_at("predicate.base.digest.sha256", "0" * 64))  # signed anew, and named anew by its child
    notes["parents"] = [{"name": "second", "digest": {"sha256": sha256_of(runs[1] / "receipt.json")}}]
    (runs[2] / "run.json").write_text(json.dumps(notes))
    make_receipt(runs[2], key=key)
    assert failed_fields(verify(runs[2])) == {"predicate.parents[0].base.digest.sha256"}


def hostile() -> dict[str, bytes]:
    deep = b"[" * 100_000 + b"]" * 100_000
    nan = base64.b64encode(b'{"_type":NaN}').decode()
    huge = base64.b64encode(b'{"a":123456789012345678901234567890}').decode()
    envelope = '{"payload":"%s","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"","sig":""}]}'
    return {
        "empty": b"",
        "not JSON": b"hello",
        "bytes": bytes(range(256)),
        "a list": b"[]",
        "deep": deep,
        "rather deep": b"[" * 500 + b"]" * 500,
        "a text without end": b'"' + b'\\"' * (MAX_BYTES // 2 - 1),
        "deep payload": (envelope % base64.b64encode(deep).decode()).encode(),
        "NaN": (envelope % nan).encode(),
        "huge number": (envelope % huge).encode(),
        "1e400": b'{"a":1e400}',
        "a key twice": b'{"payload":"","payload":"","payloadType":"","signatures":[]}',
        "surrogate": b'{"a":"\\ud800"}',
        "too large": b" " * (MAX_BYTES + 1),
        "empty statement": (envelope % base64.b64encode(b"{}").decode()).encode(),
        "statement of a list": (envelope % base64.b64encode(b"[]").decode()).encode(),
        "two signatures": orjson.dumps({
            "payload": "", "payloadType": "application/vnd.in-toto+json", "signatures": [{}, {}],
        }),
        "base64 with a tail": (envelope % "e31=").encode(),
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile())
def test_hostile_files_get_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "receipt.json"
    path.write_bytes(hostile()[name])
    verification = verify(path)
    assert not verification.ok
    assert verification.cannot_prove
    for check in verification.failed:
        assert len(check.said) < 300
        assert "\n" not in check.said


@MANY
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-100, 100) | st.text(),
        lambda s: (
            st.lists(s) | st.dictionaries(st.sampled_from(["_type", "predicate", "subject", "predicateType", "x"]), s)
        ),
        max_leaves=20,
    )
)
def test_any_signed_json_is_told_about(tmp_path: Path, key: SigningKey, payload: Any) -> None:
    content = canonical(payload)
    path = tmp_path / "receipt.json"
    path.write_bytes(write_envelope(content, key.keyid, key.sign(content)))
    assert not verify(path, key=key.keyid).ok


def leaves(part: Any, path: str = "") -> list[str]:
    if isinstance(part, (dict, list)) and part:
        pairs = part.items() if isinstance(part, dict) else enumerate(part)
        return [leaf for name, inner in pairs for leaf in leaves(inner, f"{path}\0{name}")]
    return [path]


ODD = st.sampled_from(
    [None, True, -1, 1e308, -1e308, 2**53 - 1, "", "\0", "../x", "9999-12-31T23:59:59Z", [], {}, [[]]]
)
# what a liar may say unpunished, because no file says otherwise: words, and what the run says of its surroundings
FREE = ("how", "kind", "why", "state", "by", "description", "license", "encodingFormat", "what", "references")
FREE_PLACES = ("machine", "environment", "code", "run", "base", "parents", "cannot_prove")


@MANY
@given(data=st.data())
def test_no_signed_nonsense_breaks_it(trained: Path, run: Path, forge: Forge, data: st.DataObject) -> None:
    """Any leaf of a statement replaced by something odd and signed again: an outcome, never an exception."""
    shutil.copy(trained / "receipt.json", run / "receipt.json")
    statement = read_envelope((run / "receipt.json").read_bytes()).statement
    path = data.draw(st.sampled_from([leaf for leaf in leaves(statement) if "\0predicate\0" in leaf])).split("\0")[1:]

    def spoil(there: Any) -> None:
        for step in path[:-1]:
            there = there[int(step) if isinstance(there, list) else step]
        last: Any = int(path[-1]) if isinstance(there, list) else path[-1]
        there[last] = data.draw(ODD)

    forge(run, spoil)
    verification = verify(run)
    changed_nothing = read_envelope((run / "receipt.json").read_bytes()).statement == statement
    free = path[-1] in FREE or path[1] in FREE_PLACES or path[1:3] == ["made", "at"] or "references" in path
    # a file under another name is not there: what is out of reach is not checked
    named = path[1:] in (["recipe", "path"], ["ledger", "path"]) or (
        (path[-1] in ("name", "contentUrl")) and path[1] in ("data", "evaluations", "checkpoints")
    )
    assert not verification.ok or changed_nothing or free or named, path


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        verify(tmp_path / "receipt.json")
    with pytest.raises(UserError, match="does not exist"):
        verify(tmp_path)


def test_the_encoding_that_is_signed() -> None:
    """The example of the DSSE protocol."""
    assert (
        pae(b"hello world", "http://example.com/HelloWorld")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert keyid_of(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_published_schema_is_the_one_in_use() -> None:
    import clearseek.receipts

    inside = Path(clearseek.receipts.__file__).parent / "training-receipt-v1.schema.json"
    published = Path(__file__).parents[2] / "docs" / "schemas" / "training-receipt-v1.schema.json"
    assert inside.read_bytes() == published.read_bytes()
