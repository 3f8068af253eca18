from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from clearseek.errors import UserError
from clearseek.server import keys
from clearseek.server.keys import KeyRing


def test_a_key_is_shown_once_and_kept_as_a_hash(home: Path) -> None:
    secret = keys.create("ann")
    assert re.fullmatch(r"cs-[\w-]{43}", secret)
    text = keys.keys_file().read_text()
    assert secret not in text
    assert stat.S_IMODE(keys.keys_file().stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.keys_file().parent.stat().st_mode) == 0o700
    [key] = keys.list_keys()
    assert key.name == "ann"
    ring = KeyRing(keys.keys_file())
    assert ring.check(secret) == key.id
    assert ring.check(secret[:-1]) is None
    assert ring.check("") is None
    assert ring.check("\udce9 é") is None


def test_removing_by_name_or_id(home: Path) -> None:
    first, second = keys.create("ann"), keys.create("bob")
    ring = KeyRing(keys.keys_file())
    assert ring.check(first) != ring.check(second)
    keys.remove("ann")
    keys.remove(keys.list_keys()[0].id)
    assert keys.list_keys() == []
    assert not ring.any()
    with pytest.raises(UserError, match="no key named 'ann'"):
        keys.remove("ann")


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "../x", "a\n"])
def test_names_that_are_none(home: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot name a key"):
        keys.create(name)


def test_a_name_is_used_once(home: Path) -> None:
    keys.create("ann")
    with pytest.raises(UserError, match="keys rm ann"):
        keys.create("ann")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys": [{"id": 1}]}', '{"keys": 5}', "\x00\xff"])
def test_a_damaged_file_is_a_sentence(home: Path, text: str) -> None:
    keys.keys_file().parent.mkdir(parents=True)
    keys.keys_file().write_text(text, "latin-1")
    with pytest.raises(UserError, match=re.escape(str(keys.keys_file()))):
        keys.list_keys()
    with pytest.raises(UserError):
        KeyRing(keys.keys_file()).any()
