"""Keys, made, listed and removed through the real program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli.helpers import clearseek

pytestmark = pytest.mark.slow  # each starts programs, or needs the real model


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


def test_a_budget_is_given_with_the_key_and_shown(tmp_path: Path) -> None:
    made = clearseek("keys", "create", "ann", "--tokens-per-day", "1000", "--json", home=tmp_path)
    assert json.loads(made.stdout)["tokens_per_day"] == 1000
    refused = clearseek("keys", "create", "ben", "--usd-per-day", "0.5", home=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "machine_usd_per_hour" in refused.stderr, "it says what to declare"
    (tmp_path / "config.toml").write_text("[prices]\nmachine_usd_per_hour = 0.05\n")
    assert clearseek("keys", "create", "ben", "--usd-per-day", "0.5", home=tmp_path).returncode == 0
    listed = clearseek("keys", "list", home=tmp_path).stdout
    assert "1,000 tokens a day" in listed
    assert "$0.5 a day" in listed
    document = json.loads(clearseek("keys", "list", "--json", home=tmp_path).stdout)
    assert [key["usd_per_day"] for key in document["keys"]] == [None, 0.5]
    wrong = clearseek("keys", "create", "cleo", "--tokens-per-day", "-1", home=tmp_path)
    assert wrong.returncode == 2


def test_json_is_the_only_thing_on_stdout(tmp_path: Path) -> None:
    made = clearseek("keys", "create", "phone", "--json", home=tmp_path)
    document = json.loads(made.stdout)
    assert document["name"] == "phone"
    assert document["key"].startswith("cs-")
    assert json.loads(clearseek("keys", "list", "--json", home=tmp_path / "other").stdout) == {"keys": []}
