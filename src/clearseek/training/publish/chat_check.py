"""Whether a model that was taught to reason can still chat: everyday prompts, its base's answers next to its own.

Two looks. By numbers: the base's greedy answers under both models, and the new model's under both, thinking off. How
likely a model finds its own greedy answers is no merit of it: what counts is how much less likely the other finds
them, prompt by prompt. By reading: both answers side by side without saying whose is whose, and the key in another
file.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from clearseek.errors import UserError
from clearseek.evaluation.statistics import Interval, paired_bootstrap
from clearseek.hub.files import disk_errors_told, write_aside
from clearseek.ledger.meter import Meter
from clearseek.modeling import load_model
from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.chat_ids import prompt_ids
from clearseek.modeling.tokenizer import Tokenizer
from clearseek.modeling.tokenizer_files import load_tokenizer
from clearseek.report.page import Html, element, heading, join, page, paragraph
from clearseek.seeds import seed_of
from clearseek.training.data.chat_format import ChatFormat, chat_format
from clearseek.training.rollout.rollout import rollout, score
from clearseek.training.rollout.slots import Sample, Sampling
from clearseek.training.update.learner import compute_dtype

MAX_NEW = 160
"""Tokens of an answer: a paragraph."""
MAX_PROMPTS = 1000
MAX_FILE = 4 << 20


@dataclass(frozen=True)
class ChatModel:
    """A model and how it is spoken to with thinking off."""

    name: str
    model: CausalLM
    tokenizer: Tokenizer
    prompt: Callable[[str], list[int]]
    stop_ids: tuple[int, ...]
    end_id: int


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its ids, the token that ends it included where it was not cut, and its text."""

    ids: tuple[int, ...]
    text: str
    cut: bool


@dataclass(frozen=True)
class Likelihood:
    """Of one model's answers under both: perplexities, and `times` how much higher under the other (95%).

    Perplexity is exp of the mean over prompts of the mean negative log-likelihood a token; `times` its ratio, other
    by own, with a paired bootstrap over prompts.
    """

    own: float
    other: float
    times: Interval


@dataclass(frozen=True)
class ChatReport:
    base: str
    new: str
    prompts: int
    answers_of_base: Likelihood
    answers_of_new: Likelihood
    measures: Mapping[str, Mapping[str, float]]
    """`base` and `new`: mean words, and shares of answers and n-grams."""
    same_tokens: bool
    """Whether both read text as the same tokens; else the new model's likelihoods are of its own tokens for it."""

    @property
    def says(self) -> str:
        """The finding in a sentence."""
        result = self.answers_of_base
        t = result.times
        return (
            f"On {self.prompts} everyday prompts the base's own answers have a perplexity of {result.own:.2f} under "
            f"the base and {result.other:.2f} under {self.new}: {t.value:.2f} times ({t.low:.2f} to {t.high:.2f})."
        )


def everyday_prompts() -> list[str]:
    """The prompts that ship with ClearSeek."""
    source = resources.files("clearseek").joinpath("data/chat/everyday.jsonl")
    try:
        raw = source.read_bytes()
        results = [str(json.loads(line)["prompt"]) for line in raw[:MAX_FILE].splitlines() if line.strip()]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError("The everyday prompts are missing from this installation of ClearSeek, or damaged.") from None
    return results[:MAX_PROMPTS]


def open_chat_model(weights: Path, name: str | None = None) -> ChatModel:
    """A GGUF (with the very weights that are served) or a Hugging Face folder. Raises ModelingError."""
    tokenizer = load_tokenizer(weights)
    dtype = compute_dtype("auto", torch.device("cpu"))
    return chat_model_of(name or weights.stem, load_model(weights, dtype), tokenizer)


def chat_model_of(name: str, model: CausalLM, tokenizer: Tokenizer, chat: ChatFormat | None = None) -> ChatModel:
    """By `chat`, or by the model's own template: one that knows thinking is told that it is off."""
    template = tokenizer.template()
    if chat is None and template.uses_thinking:
        chat = chat_format(tokenizer)
    if chat is not None:
        thinking_off = chat
        return ChatModel(
            name, model, tokenizer, lambda text: thinking_off.prompt(text, thinking=False), chat.stop_ids, chat.end_id
        )
    plain = chat_format(tokenizer)

    def prompt(text: str) -> list[int]:
        return prompt_ids(tokenizer, template, [{"role": "user", "content": text}])

    return ChatModel(name, model, tokenizer, prompt, plain.stop_ids, plain.end_id)


def replies(speaker: ChatModel, prompts: Sequence[str], max_new: int = MAX_NEW) -> list[Reply]:
    """Greedy answers."""
    how = Sampling(max_new=max_new, temperature=0.0, stop_ids=speaker.stop_ids)
    results = []
    for (sample,) in rollout(speaker.model, [speaker.prompt(text) for text in prompts], sampling=how):
        ended = sample.ids[-1] in speaker.stop_ids
        ids = sample.ids[:-1] if ended else sample.ids
        text = speaker.tokenizer.decode(ids, keep_control=True)
        results.append(Reply((*ids, speaker.end_id) if ended else ids, text, not ended))
    return results


@torch.no_grad()
def negative_log_likelihoods(
    speaker: ChatModel, prompts: Sequence[str], answers: Sequence[Sequence[int]]
) -> list[float]:
    """The mean over each answer's tokens, in nats, after its prompt. Empty answers count as zero."""
    results = []
    for text, ids in zip(prompts, answers, strict=True):
        if not ids:
            results.append(0.0)
            continue
        sample = Sample(0, 0, 0, tuple(ids), (0.0,) * len(ids), "length")
        (log_probs_T,) = score(speaker.model, speaker.prompt(text), [sample], Sampling(max_new=len(ids)))
        results.append(-float(log_probs_T.double().mean()))
    return results


def check(
    base: ChatModel,
    new: ChatModel,
    prompts: Sequence[str],
    *,
    seed: int = 0,
    max_new: int = MAX_NEW,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[ChatReport, list[Reply], list[Reply]]:
    """Both answer, each is measured under both. Gives the report and the answers of base and new."""
    tell(f"{base.name} answers {len(prompts)} everyday prompts")
    of_base = replies(base, prompts, max_new)
    tell(f"{new.name} answers them")
    of_new = replies(new, prompts, max_new)
    texts = [reply.text for reply in (*of_base, *of_new)]
    same = all(base.tokenizer.encode(text) == new.tokenizer.encode(text) for text in texts)
    tell("Each model reads the other's answers")
    report = ChatReport(
        base=base.name,
        new=new.name,
        prompts=len(prompts),
        answers_of_base=_likelihood(base, new, prompts, of_base, same, seed),
        answers_of_new=_likelihood(new, base, prompts, of_new, same, seed),
        measures={"base": measures(of_base), "new": measures(of_new)},
        same_tokens=same,
    )
    return report, of_base, of_new


def _likelihood(
    own: ChatModel, other: ChatModel, prompts: Sequence[str], answers: Sequence[Reply], same: bool, seed: int
) -> Likelihood:
    as_own = [reply.ids for reply in answers]
    if same:  # and what ends a turn is each model's own
        as_other = [ids if reply.cut else (*ids[:-1], other.end_id) for reply, ids in zip(answers, as_own, strict=True)]
    else:
        ends = [() if reply.cut else (other.end_id,) for reply in answers]
        as_other = [(*other.tokenizer.encode(one.text), *end) for one, end in zip(answers, ends, strict=True)]
    first = negative_log_likelihoods(own, prompts, as_own)
    second = negative_log_likelihoods(other, prompts, as_other)
    if not same:  # per token of the one who wrote it, so that both speak of the same text
        second = [
            nats * len(theirs) / max(1, len(mine)) for nats, theirs, mine in zip(second, as_other, as_own, strict=True)
        ]
    more = paired_bootstrap([first], [second], seed_of("chat", seed))
    times = Interval(*(math.exp(min(nats, 50.0)) for nats in (more.value, more.low, more.high)))
    return Likelihood(_perplexity(first), _perplexity(second), times)


def _perplexity(nats: Sequence[float]) -> float:
    return math.exp(min(sum(nats) / len(nats), 50.0))


def measures(answers: Sequence[Reply]) -> dict[str, float]:
    """Simple measures of a set of answers, none of which knows what a good answer is."""
    words = [reply.text.split() for reply in answers]
    grams = [Counter(zip(*(said[i:] for i in range(4)), strict=False)) for said in words]
    all_grams = sum(sum(counts.values()) for counts in grams)
    begins = Counter(tuple(said[:3]) for said in words if said)
    return {
        "words": sum(map(len, words)) / len(words),
        "tokens": sum(len(reply.ids) for reply in answers) / len(answers),
        "empty": sum(not said for said in words) / len(words),
        "cut_at_the_limit": sum(reply.cut for reply in answers) / len(answers),
        "same_3_words_first": sum(count for count in begins.values() if count > 1) / len(words),
        "repeated_4_grams": sum(sum(counts.values()) - len(counts) for counts in grams) / max(1, all_grams),
        "distinct_2_grams": _distinct(words, 2),
        "distinct_3_grams": _distinct(words, 3),
    }


def _distinct(words: Sequence[Sequence[str]], n: int) -> float:
    """Different n-grams by all n-grams, over all answers together (Li et al. 2016, arXiv:1510.03055)."""
    grams = [gram for said in words for gram in zip(*(said[i:] for i in range(n)), strict=False)]
    return len(set(grams)) / max(1, len(grams))


def blinded(prompts: Sequence[str], base: Sequence[Reply], new: Sequence[Reply], seed: int) -> tuple[str, list[str]]:
    """The page with both answers of each prompt as A and B, and the key: for each prompt who is A.

    The order of the prompts is shuffled as well; the page holds no name of a model.
    """
    rng = random.Random(seed_of("blind", seed))
    order = list(range(len(prompts)))
    rng.shuffle(order)
    key, parts = [], []
    for number, index in enumerate(order, 1):
        first = "base" if rng.random() < 0.5 else "new"
        key.append(f"{number}: A is {first}, prompt {index + 1}")
        pair = (base[index], new[index]) if first == "base" else (new[index], base[index])
        parts += [heading(f"{number}. {prompts[index]}", 2), _said("A", pair[0]), _said("B", pair[1])]
    data = paragraph("Two models answered each prompt. Which is which is in the key; read first.", class_="lead")
    return page("Everyday chat, side by side", join(data, *parts)), key


def _said(name: str, reply: Reply) -> Html:
    cut = " (cut here)" if reply.cut else ""
    return join(heading(name, 3), element("pre", (reply.text.strip() or "(nothing)") + cut))


def check_files(
    base: Path,
    new: Path,
    folder: Path,
    *,
    names: tuple[str, str] | None = None,
    seed: int = 0,
    tell: Callable[[str], None] = lambda line: None,
    meter: Meter | None = None,
) -> dict[str, Any]:
    """Check two models on disk; writes chat.json, blind.html, key.txt and answers.jsonl. Gives what chat.json holds.

    `names` are those of base and new in the report.
    """
    called = names or (base.stem, new.stem)
    prompts = everyday_prompts()
    with nullcontext() if meter is None else meter.span("eval", model=called[1], suite="chat"):
        one, other = open_chat_model(base, called[0]), open_chat_model(new, called[1])
        report, of_base, of_new = check(one, other, prompts, seed=seed, tell=tell)
    document = as_json(report)
    with disk_errors_told("Keeping the answers", folder):
        folder.mkdir(parents=True, exist_ok=True)
        blind, key = blinded(prompts, of_base, of_new, seed)
        write_aside(folder / "blind.html", blind.encode())
        write_aside(folder / "key.txt", "\n".join([*key, ""]).encode())
        lines = [
            {"prompt": prompt, "base": b.text, "new": n.text}
            for prompt, b, n in zip(prompts, of_base, of_new, strict=True)
        ]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_aside(folder / "answers.jsonl", text.encode())
        write_aside(folder / "chat.json", json.dumps(document, indent=1).encode())
    return document


def as_json(report: ChatReport) -> dict[str, Any]:
    return asdict(report) | {"says": report.says}
