"""What was said is read again as it was said."""

from __future__ import annotations

from clearseek.inference.token_ids import Spoken


def test_a_prompt_that_begins_with_what_was_said_has_its_ids() -> None:
    spoken = Spoken()
    assert spoken.recall("Q1") == ["Q1"]
    spoken.remember("Q1", ["Q1"], "ab", [7, 8])
    assert spoken.recall("Q1ab") == ["Q1", 7, 8]
    assert spoken.recall("Q1abQ2") == ["Q1", 7, 8, "Q2"]
    spoken.remember("Q1abQ2", ["Q1", 7, 8, "Q2"], "c", [9])
    assert spoken.recall("Q1abQ2c!") == ["Q1", 7, 8, "Q2", 9, "!"]
    assert spoken.recall("Q1abQ3") == ["Q1", 7, 8, "Q3"], "another branch of the same conversation"
    assert spoken.recall("Q0abQ2c") == ["Q0abQ2c"]


def test_the_same_text_said_in_other_ids_is_as_it_was_said_last() -> None:
    spoken = Spoken()
    spoken.remember("Q", ["Q"], "ab", [7, 8])
    spoken.remember("Q", ["Q"], "ab", [5])
    assert spoken.recall("Qab") == ["Q", 5]


def test_what_was_not_asked_for_longest_is_forgotten() -> None:
    spoken = Spoken(most=2)
    spoken.remember("a", ["a"], "1", [1])
    spoken.remember("b", ["b"], "2", [2])
    assert spoken.recall("a1") == ["a", 1]
    spoken.remember("c", ["c"], "3", [3])
    assert spoken.recall("b2") == ["b2"]
    assert spoken.recall("a1") == ["a", 1]
    assert spoken.recall("c3") == ["c", 3]
