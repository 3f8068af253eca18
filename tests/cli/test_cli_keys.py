"""Keys, made, listed and removed through the real program."""

from __future__ import annotations

import json
from pathlib import Path

from cli.helpers import clearseek


def test_a_key_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    made = clearseek("keys", "create", "laptop", home=tmp_path)
    assert made.returncode == 0
    secret = made.stdout.strip()
    assert secret.startswith("cs-")
    assert "cannot be shown again" in made.stderr
    kept = (tmp_path / "keys" / "api-keys.json").read_text()
    assert secret not in kept

    listed = clearseek("keys", "list", home=tmp_path)
    assert listed.stdout.startswith("laptop\t")
    assert secret not in listed.stdout

    document = json.loads(clearseek("keys", "list", "--json", home=tmp_path).stdout)
    assert [key["name"] for key in document["keys"]] == ["laptop"]
    assert "sha256" not in document["keys"][0]

    again = clearseek("keys", "create", "laptop", home=tmp_path)
    assert again.returncode == 1
    assert "already" in again.stderr
    assert again.stdout == ""

    assert clearseek("keys", "rm", "laptop", home=tmp_path).returncode == 0
    gone = clearseek("keys", "rm", "laptop", home=tmp_path)
    assert gone.returncode == 1
    assert "no key named 'laptop'" in gone.stderr


def test_json_is_the_only_thing_on_stdout(tmp_path: Path) -> None:
    made = clearseek("keys", "create", "phone", "--json", home=tmp_path)
    document = json.loads(made.stdout)
    assert document["name"] == "phone"
    assert document["key"].startswith("cs-")
    assert json.loads(clearseek("keys", "list", "--json", home=tmp_path / "other").stdout) == {"keys": []}
