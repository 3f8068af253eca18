"""Near-duplicates counted as what they are, and cards by which a data set can be known again."""

from __future__ import annotations

import json
import time

import pytest

from clearseek.tasks.data_cards import croissant, data_card, data_report, digest_of
from clearseek.tasks.near_duplicates import scan
from clearseek.tasks.task import Problem, Score, Task


def problems(prompts: list[str], split: str = "train") -> list[Problem]:
    return [Problem("t", split, place, prompt, "1") for place, prompt in enumerate(prompts)]  # type: ignore[arg-type]


LONG = "A farmer walks to the market with seven baskets of plums and sells all but one of them before noon on {day}"


def test_each_kind_of_likeness_is_counted_apart() -> None:
    train = problems(
        ["What is 12 + 30?", "Sort these: red, blue, green", LONG.format(day="Monday, then walks home again")]
    )
    report = scan(
        train,
        problems(
            [
                "what is 12 +  30?",  # the same question
                "What is 30 + 12?",  # its numbers in another order
                "What is 41 + 5?",  # the same but for its numbers
                "Sort these: green, red, blue",
                LONG.format(day="Monday, then walks home again") + "!",  # one mark more
                "Why is the sky blue?",
            ],
            "test",
        ),
    )
    assert (report.trained, report.tested) == (3, 6)
    assert report.exact == 1
    assert report.reordered == 2
    assert report.same_but_for_numbers == 2
    assert report.near == 1
    assert report.examples[0][2] >= 0.9
    data = json.loads(json.dumps(report.as_data()))
    assert data["exact_share"] == pytest.approx(1 / 6, abs=1e-4)


def test_nothing_alike_and_nothing_at_all() -> None:
    assert scan([], problems(["a b c d"])).near == 0
    assert scan(problems(["a b c d"]), []).as_data()["near_share"] == 0.0
    assert scan(problems(["one two three four"]), problems(["five six seven eight"], "test")).near == 0


def test_thousands_of_one_template_take_seconds() -> None:
    train = problems([f"Find the Greatest Common Divisor (GCD) of these numbers: {n}, {n * 7}." for n in range(4000)])
    test = problems(
        [f"Find the Greatest Common Divisor (GCD) of these numbers: {n}, {n * 9}." for n in range(400)], "test"
    )
    started = time.process_time()
    report = scan(train, test)
    assert time.process_time() - started < 8
    assert report.same_but_for_numbers == 399  # honest about the template; 0, 0 is in both
    assert report.exact == 1


def test_the_digest_is_of_the_set() -> None:
    one, other = problems(["a?", "b?"]), problems(["b?", "a?"])
    assert digest_of(one) == digest_of(other)
    assert digest_of(one) != digest_of(problems(["a?"]))
    assert digest_of([]) != digest_of(one)


def test_a_card_says_what_was_used_and_is_croissant() -> None:
    source = {
        "generator": "reasoning-gym gcd",
        "version": "0.1.25",
        "license": "Apache-2.0",
        "seeds": {"train": [0, 9]},
    }
    task = Task("gcd", lambda split, index: problems(["x"])[0], lambda problem, answer: Score(1.0, "right"), source)
    card = data_card(task, {"train": problems(["a?", "b?"]), "test": problems(["c?"], "test")})
    assert card["used"]["train"]["problems"] == 2
    assert card["used"]["test"]["sha256"] == digest_of(problems(["c?"], "test"))
    assert card["size_bytes"] == 9
    metadata = json.loads(json.dumps(croissant(card, "data/gcd.jsonl", "0" * 64, 120)))
    assert metadata["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert metadata["license"] == "https://www.apache.org/licenses/LICENSE-2.0"
    assert metadata["distribution"][0]["sha256"] == "0" * 64
    for needed in ("@context", "@type", "name", "description", "url", "version", "datePublished", "citeAs"):
        assert metadata[needed]
    mlcroissant = pytest.importorskip("mlcroissant")
    mlcroissant.Dataset(jsonld=metadata)


def test_a_report_holds_card_croissant_and_near_duplicates() -> None:
    pytest.importorskip("reasoning_gym")
    from clearseek.tasks import load_task
    from clearseek.tasks.splits import draw

    task = load_task("products")
    report = json.loads(json.dumps(data_report(task, 20, 30, sample=100)))
    assert report["card"]["used"]["test"] == {"problems": 30, "sha256": digest_of(draw(task, "test", 30, 0))}
    assert report["card"]["config"]["allow_negation"] is True
    assert report["near"]["exact"] == 0
    assert report["near"]["same_but_for_numbers"] == 30
    assert "sha256" in report["croissant"]["description"]
    assert "near" not in data_report(load_task("lcm"), 0, 5, trained=False)


def test_reasoning_gym_is_under_the_licence_its_card_says() -> None:
    pytest.importorskip("reasoning_gym")
    import importlib.metadata

    from clearseek.tasks import load_task

    said = importlib.metadata.metadata("reasoning-gym")
    assert "Apache-2.0" in (said.get("License-Expression") or said.get("License") or "")
    card = load_task("gcd").card
    assert card["license"] == "Apache-2.0"
    assert card["version"] == importlib.metadata.version("reasoning-gym")
