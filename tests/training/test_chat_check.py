"""Everyday chat before and after: likelihoods by hand, answers blinded, simple measures that know their limits."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")

sys.path.append(str(Path(__file__).parent.parent / "modeling"))

from small_context import tiny  # noqa: E402
from trained_words import train_tokenizer  # noqa: E402

from clearseek.errors import UserError  # noqa: E402
from clearseek.hub.model import Model  # noqa: E402
from clearseek.modeling.tokenizer import Tokenizer  # noqa: E402
from clearseek.training.data.chat_format import chat_format  # noqa: E402
from clearseek.training.publish import chat_check  # noqa: E402
from clearseek.training.publish.chat_check import (  # noqa: E402
    ChatModel,
    Reply,
    blinded,
    chat_model_of,
    check,
    measures,
    negative_log_likelihoods,
    replies,
)

PROMPTS = ["The quick brown fox?", "dogs", "3.14 metres", "They're told."]


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return train_tokenizer("smollm")


def speaker(words: Tokenizer, seed: int, thinks: bool = False) -> ChatModel:
    model = tiny(seed, vocab=words.size, max_positions=256)
    return chat_model_of(f"model-{seed}", model, words, chat_format(words) if thinks else None)


def test_each_model_is_spoken_to_in_its_own_form(words: Tokenizer) -> None:
    plain, thinks = speaker(words, 0), speaker(words, 0, thinks=True)
    said = words.decode(plain.prompt("dogs"), keep_control=True)
    assert "dogs" in said
    assert "<think>" not in said
    assert words.decode(thinks.prompt("dogs"), keep_control=True).endswith("<think>\n\n</think>\n\n")


def test_likelihoods_are_those_of_a_plain_forward(words: Tokenizer) -> None:
    one = speaker(words, 1)
    answer = words.encode("lazy dogs")
    (found,) = negative_log_likelihoods(one, ["dogs"], [answer])
    prompt = one.prompt("dogs")
    logits_TV = one.model(torch.tensor([[*prompt, *answer]]))[0].log_softmax(-1).detach()
    by_hand = [-float(logits_TV[len(prompt) - 1 + place, token]) for place, token in enumerate(answer)]
    assert found == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-4)
    assert negative_log_likelihoods(one, ["dogs"], [()]) == [0.0]


def test_a_model_against_itself_is_no_worse_and_against_another_is_told(words: Tokenizer) -> None:
    report, _, _ = check(speaker(words, 1), speaker(words, 1), PROMPTS, max_new=12)
    assert report.same_tokens
    assert report.answers_of_base.times.value == pytest.approx(1.0)
    assert report.answers_of_base.own == pytest.approx(report.answers_of_base.other)
    other, of_base, of_new = check(speaker(words, 1), speaker(words, 2, thinks=True), PROMPTS, max_new=12)
    assert other.answers_of_base.times.low > 1.0  # its own greedy answers, which another model would not give
    assert other.answers_of_new.times.low > 1.0
    assert len(of_base) == len(of_new) == 4
    assert "times (" in other.says
    assert json.loads(json.dumps(chat_check.as_json(other)))["prompts"] == 4
    again, _, _ = check(speaker(words, 1), speaker(words, 2, thinks=True), PROMPTS, max_new=12)
    assert again == other


def test_answers_end_where_a_turn_ends(words: Tokenizer) -> None:
    one = speaker(words, 1)
    found = replies(one, PROMPTS, max_new=6)
    for reply in found:
        assert reply.cut == (reply.ids[-1] != one.end_id)
        assert len(reply.ids) <= 6


def test_measures_by_hand() -> None:
    said = [Reply((1, 2, 3), "a b c d a b c d", False), Reply((), "  ", True)]
    found = measures(said)
    assert found["words"] == 4.0
    assert found["empty"] == found["cut_at_the_limit"] == 0.5
    assert found["repeated_4_grams"] == pytest.approx(1 / 5)
    assert found["distinct_2_grams"] == pytest.approx(4 / 7)
    assert found["distinct_3_grams"] == pytest.approx(4 / 6)
    assert found["same_3_words_first"] == 0.0
    said = [Reply((1,), words, False) for words in ("a b c d", "a b c e", "a c b d")]
    assert measures(said)["same_3_words_first"] == pytest.approx(2 / 3)


def test_the_page_is_blind_and_the_key_opens_it() -> None:
    prompts = [f"Prompt number {number}?" for number in range(40)]
    base = [Reply((1,), f"first {number}", False) for number in range(40)]
    new = [Reply((1,), f"second {number} <b>", True) for number in range(40)]
    page, key = blinded(prompts, base, new, seed=1)
    assert (page, key) == blinded(prompts, base, new, seed=1)
    assert key != blinded(prompts, base, new, seed=2)[1]
    assert "<b>" not in page.partition("<body>")[2]
    assert "base" not in page.partition("<body>")[2]
    for line in key:
        number, _, rest = line.partition(": A is ")
        who, _, prompt = rest.partition(", prompt ")
        body = page.partition(f"{number}. Prompt number {int(prompt) - 1}?")[2]
        a, b = body.index(f"first {int(prompt) - 1}"), body.index(f"second {int(prompt) - 1}")
        assert (a < b) == (who == "base")
    assert 8 <= sum("A is base" in line for line in key) <= 32


def test_two_files_are_checked(words: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {Path("base"): speaker(words, 1), Path("new"): speaker(words, 2, thinks=True)}
    monkeypatch.setattr(chat_check, "open_chat_model", lambda path, name: made[path])
    monkeypatch.setattr(chat_check, "everyday_prompts", lambda: PROMPTS)
    monkeypatch.setattr(chat_check, "MAX_NEW", 5)
    told: list[str] = []
    document = chat_check.check_files(Path("base"), Path("new"), tmp_path / "out", tell=told.append)
    assert json.loads((tmp_path / "out" / "chat.json").read_text()) == json.loads(json.dumps(document))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "answers.jsonl",
        "blind.html",
        "chat.json",
        "key.txt",
    ]
    assert len((tmp_path / "out" / "key.txt").read_text().splitlines()) == 4
    assert told


def test_prompts_that_are_missing_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("clearseek.training.publish.chat_check.resources.files", lambda package: tmp_path)
    with pytest.raises(UserError, match="everyday prompts are missing"):
        chat_check.everyday_prompts()
    (tmp_path / "data" / "chat").mkdir(parents=True)
    (tmp_path / "data" / "chat" / "everyday.jsonl").write_text('{"prompt": "Hi"}\n\n{"prompt": "Bye"}\n')
    assert chat_check.everyday_prompts() == ["Hi", "Bye"]


def test_perplexity_is_bounded_where_a_model_finds_it_impossible() -> None:
    assert math.isfinite(chat_check._perplexity([1e6]))


@pytest.mark.slow
def test_the_real_base_against_itself_and_spoken_to_in_our_form(real_model: Model) -> None:
    base = chat_check.open_chat_model(real_model.path, "base")
    ours = chat_model_of("ours", base.model, base.tokenizer, chat_format(base.tokenizer))
    prompts = chat_check.everyday_prompts()
    assert len(set(prompts)) == 50
    report, of_base, _ = check(base, ours, prompts[:3], max_new=24)
    assert report.same_tokens
    assert all(reply.text.strip() for reply in of_base)
    assert report.answers_of_base.own < 3  # greedy answers are likely to whoever gave them
    assert report.answers_of_base.times.value > 1  # in a form that it does not know they are less so
    same, _, _ = check(base, base, prompts[:2], max_new=12)
    assert same.answers_of_base.times.value == pytest.approx(1.0)
