"""What keeps general chat alive, what it is judged by, and the name of the model: apart from each other."""

from __future__ import annotations

import hashlib
import json
import re
from importlib import resources
from typing import Any

import pytest

pytest.importorskip("torch")

from clearseek.training.data.traces import read_traces

FOLDER = resources.files("clearseek") / "data" / "chat"
NAME = "ClearSeek"


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


def digest(prompt: str) -> str:
    return hashlib.sha256(" ".join(prompt.split()).casefold().encode()).hexdigest()


def words(prompt: str) -> set[str]:
    """What a prompt is about: its words without those that every prompt has."""
    common = "a an the i you me my is are do does did how what why who which to of in on for and or it this that can"
    found = re.findall(r"[a-z]+", prompt.casefold())
    return set(found) - set(common.split()) or set(found)


def near(one: str, other: str) -> float:
    """The share of words in common."""
    a, b = words(one), words(other)
    return len(a & b) / len(a | b)


@pytest.fixture(scope="module")
def prompts() -> dict[str, list[str]]:
    with resources.as_file(FOLDER / "identity.jsonl") as file:
        identity = [trace.prompt for trace in read_traces(file)]
    return {
        "trained": [line["prompt"] for line in lines("prompts.jsonl")],
        "unseen": [line["prompt"] for line in lines("everyday.jsonl")],
        "identity": list(dict.fromkeys(identity)),
    }


def test_there_are_as_many_as_promised_and_no_two_alike(prompts: dict[str, list[str]]) -> None:
    assert len(prompts["trained"]) >= 375
    assert len(prompts["unseen"]) == 50
    every = [prompt for group in prompts.values() for prompt in group]
    assert len({digest(prompt) for prompt in every}) == len(every)
    assert all(prompt == prompt.strip() and 3 <= len(prompt) <= 400 for prompt in every)


def test_what_chat_is_judged_by_is_not_nearly_trained_on(prompts: dict[str, list[str]]) -> None:
    too_near = [
        (round(near(unseen, trained), 2), unseen, trained)
        for unseen in prompts["unseen"]
        for trained in prompts["trained"] + prompts["identity"]
        if near(unseen, trained) >= 0.6
    ]
    assert too_near == []


def test_who_it_is_is_learned_with_thinking_and_without() -> None:
    with resources.as_file(FOLDER / "identity.jsonl") as file:
        traces = list(read_traces(file))
    on = {trace.prompt: trace for trace in traces if trace.thinking is not None}
    off = {trace.prompt: trace for trace in traces if trace.thinking is None}
    assert on.keys() == off.keys()
    assert len(traces) == 2 * len(on)
    assert all(on[prompt].answer == off[prompt].answer for prompt in on)
    assert NAME in on["Who are you?"].answer
    assert "often wrong" in on["Who are you?"].answer
    assert all("</think>" not in f"{trace.thinking}{trace.answer}" for trace in traces)


def test_no_prompt_asks_the_base_who_it_is(prompts: dict[str, list[str]]) -> None:
    """The base would say its own name, and its answers are trained on."""
    assert not [
        prompt for prompt in prompts["trained"] if re.search(r"who are you|your name|made you|are you a ", prompt, re.I)
    ]
