"""Answers from a model in torch, by the rollouts that training uses: a learner as it is now, or a folder of weights."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import torch

from clearseek.evaluation.results import Conditions, Evaluation, Finish, Membership
from clearseek.evaluation.runner import Completion, Query, draw_queries, evaluate
from clearseek.hub.chat_template import THINK_CLOSE
from clearseek.ledger.entry import Draft
from clearseek.ledger.meter import Meter
from clearseek.ledger.prices import Rates
from clearseek.modeling import load_model
from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.chat_ids import Message
from clearseek.tasks.task import Task
from clearseek.training.data.chat_format import CLOSING, ChatFormat
from clearseek.training.data.groups import Group
from clearseek.training.rollout.rollout import rollout
from clearseek.training.rollout.slots import Sample, Sampling
from clearseek.training.update.flops import model_sizes, rollout_flops
from clearseek.training.update.learner import Learner, compute_dtype

AT_ONCE = 256
"""Samples of one rollout: what is lost at most when somebody interrupts."""


class TorchBackend:
    """`dtype` is what is computed in; None: the model's own. `labels` go into the ledger with the span `eval`."""

    def __init__(
        self,
        model: CausalLM,
        chat: ChatFormat,
        meter: Meter,
        labels: Mapping[str, str] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.model, self.chat, self.meter, self.dtype = model, chat, meter, dtype
        self.labels = {} if labels is None else dict(labels)

    def answer(self, asks: Sequence[Query], how: Conditions, took: Callable[[Query, Completion], None]) -> None:
        labels = {"model": how.model, "split": how.split, "arm": how.arm} | self.labels
        sizes = model_sizes(self.model)
        with self.meter.span("eval", **labels) as span:
            for together in _batches(asks, AT_ONCE):
                started = time.perf_counter()
                answers = self._answers(together, how)
                each = (time.perf_counter() - started) / len(together)
                for ask, one in zip(together, answers, strict=True):
                    took(ask, self._answered(one, how, each))
                    span.count(
                        # one that is too long is not read
                        prompt_tokens=len(one.prompt) + one.put_in if one.ids else 0,
                        completion_tokens=len(one.ids) - one.put_in,
                        flops=rollout_flops(sizes, [Group(one.prompt, (tuple(one.ids),))]) if one.ids else None,
                    )

    def _answers(self, asks: Sequence[Query], how: Conditions) -> list[_Answer]:
        answers = []
        for ask in asks:
            text = ask.problem.prompt
            talk: list[Message] = [{"role": "system", "content": how.system}, {"role": "user", "content": text}]
            prompt = self.chat.prompt(text if how.system is None else talk, thinking=how.thinking)
            answers.append(_Answer(tuple(prompt), ask.seed))
        closing = how.thinking and how.budget is not None and how.budget < how.max_new
        close = self.chat.tokenizer.encode(CLOSING, control=True) if closing else []
        for one in answers:
            one.too_long = len(one.prompt) + how.max_new + len(close) > self.model.config.max_positions
        fitting = [answer for answer in answers if not answer.too_long]
        self._more(fitting, how.budget if closing and how.budget is not None else how.max_new, how)
        if not closing:
            return answers
        unfinished = [one for one in fitting if not one.ended]
        for one in unfinished:
            if self._thought(one.ids) is None:
                one.thought = len(one.ids)
                one.ids += close
                one.put_in = len(close)
            one.seed += 1  # other draws than those of the thinking
        assert how.budget is not None
        self._more(unfinished, how.max_new - how.budget, how)
        return answers

    def _more(self, answers: Sequence[_Answer], most: int, how: Conditions) -> None:
        """Write on, at most `most` tokens, where each answer is. Samples of one problem share the reading of it."""
        together: dict[tuple[int, ...], list[_Answer]] = {}
        for answer in answers:
            together.setdefault((*answer.prompt, *answer.ids), []).append(answer)
        sizes: dict[int, list[list[_Answer]]] = {}
        for group in together.values():
            sizes.setdefault(len(group), []).append(group)
        for size, groups in sizes.items():
            drawn: list[list[Sample]] = rollout(
                self.model,
                [(*group[0].prompt, *group[0].ids) for group in groups],
                group_size=size,
                sampling=Sampling(max_new=most, temperature=how.temperature, stop_ids=self.chat.stop_ids),
                seeds=[[one.seed for one in group] for group in groups],
                dtype=self.dtype,
            )
            for group, samples in zip(groups, drawn, strict=True):
                for one, sample in zip(group, samples, strict=True):
                    one.ids += sample.ids
                    one.ended = sample.ids[-1] in self.chat.stop_ids

    def _thought(self, ids: Sequence[int]) -> int | None:
        """How many ids there are up to the end of `</think>`; None where it is not there."""
        decode = self.chat.tokenizer.decode

        def closed(count: int) -> bool:
            return THINK_CLOSE in decode(ids[:count], keep_control=True)

        return bisect.bisect_left(range(len(ids)), True, key=closed) if closed(len(ids)) else None

    def _answered(self, answer: _Answer, how: Conditions, seconds: float) -> Completion:
        if answer.too_long:
            why = f"the prompt has {len(answer.prompt)} tokens, and with {how.max_new} more it does not fit"
            return Completion("", "", "length", False, len(answer.prompt), 0, 0, 0.0, refused=why)
        written = self.chat.read(answer.ids, thinking=how.thinking)
        thought = 0
        if how.thinking:
            result = self._thought(answer.ids) if answer.thought is None else answer.thought
            thought = len(answer.ids) if result is None else result
        finish: Finish = "length" if not answer.ended else "stop" if answer.thought is None else "budget"
        return Completion(
            thinking=written.thinking,
            answer=written.answer,
            finish=finish,
            well_formed=written.well_formed and finish == "stop",
            prompt_tokens=len(answer.prompt),
            thinking_tokens=thought,
            tokens=len(answer.ids) - answer.put_in,
            seconds=seconds,
        )


def open_folder(
    weights: Path, chat: ChatFormat, sink: Callable[[Draft], object], rates: Rates | None = None
) -> TorchBackend:
    """An answerer over a Hugging Face folder, on the accelerator where there is one. Raises ModelingError."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = compute_dtype("auto", device)
    return TorchBackend(load_model(weights, dtype, device), chat, Meter(sink, machine=rates), dtype=dtype)


@dataclass
class _Answer:
    """One answer under way. `ids` are what was written, and the closing where one was put in: after `thought` ids, as
    `put_in` ids, which are read and not written."""

    prompt: tuple[int, ...]
    seed: int
    ids: list[int] = field(default_factory=list)
    ended: bool = False
    thought: int | None = None
    put_in: int = 0
    too_long: bool = False


def _batches(asks: Sequence[Query], most: int) -> Iterator[list[Query]]:
    """At most `most` at once, the samples of a problem together where they fit."""
    batch: list[Query] = []
    for _, samples in groupby(asks, key=lambda ask: ask.problem.id):
        group = list(samples)
        if batch and len(batch) + len(group) > most:
            yield batch
            batch = []
        while len(group) > most:
            yield group[:most]
            group = group[most:]
        batch += group
    if batch:
        yield batch


def evaluate_learner(
    learner: Learner,
    chat: ChatFormat,
    meter: Meter,
    tasks: Sequence[Task],
    split: str,
    n: int,
    seed: int,
    *,
    samples: int = 1,
    temperature: float = 0.0,
    max_new: int,
    thinking: bool = True,
    membership: Mapping[str, Membership] | None = None,
    progress: Callable[[int, int, int], None] | None = None,
    **labels: str,
) -> Evaluation:
    """Evaluate the model of a training run as it is now, by rollouts; booked as a span `eval` with these labels.

    Nothing of the learner changes, its random draws included: each sample's seed follows from `seed` and its problem.
    `membership` says which tasks are not trained on (by name); those it leaves out count as trained.
    """
    asked = draw_queries([(task, (membership or {}).get(task.name, "trained")) for task in tasks], split, n, seed)
    conditions = Conditions(
        model="learner",
        digest=None,
        by="torch",
        suite=None,
        split=split,
        n=n,
        seed=seed,
        samples=samples,
        temperature=temperature,
        thinking=thinking,
        max_new=max_new,
    )
    answerer = TorchBackend(learner.model, chat, meter, labels, learner.rollout_dtype)
    return evaluate(answerer, asked, conditions, progress=progress)
