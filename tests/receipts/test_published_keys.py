"""The project's keys are the same wherever somebody may look for them, and are those that signed what is shipped."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from clearseek.ledger.tables import read_table
from clearseek.receipts.known_keys import project_keys, signer_of
from clearseek.receipts.signing import keyid_of
from clearseek.settings import model_data

ROOT = Path(__file__).parents[2]
KEYID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def test_readme_docs_and_package_name_the_same_keys() -> None:
    published = set(project_keys())
    assert len(published) == 2
    for place in ("README.md", "docs/receipts.md"):
        assert set(KEYID.findall((ROOT / place).read_text("utf-8"))) == published, place
    # the package's own description is the README
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["readme"] == "README.md"


def test_every_keyid_is_that_of_its_key() -> None:
    for row in read_table("keys")["key"]:
        assert keyid_of(bytes.fromhex(row["public_key"])) == row["keyid"]
        assert signer_of(bytes.fromhex(row["public_key"])).whose == "project"
    assert signer_of(bytes(32)).whose == "unknown"


def test_they_signed_every_receipt_that_is_shipped() -> None:
    receipts = [*model_data().glob("*/receipt.json"), *model_data().glob("*/parents/*.json")]
    signed = {json.loads(path.read_bytes())["signatures"][0]["keyid"] for path in receipts}
    assert len(receipts) == 3
    assert signed == set(project_keys())
