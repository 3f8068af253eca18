"""TRL's GRPOTrainer and `transformers`' forward and backward, driven for `bench train` on our weights."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clearseek.benchmarks.rollout_speed import as_transformers
from clearseek.errors import UserError
from clearseek.modeling.tokenizer import Tokenizer
from clearseek.training.data.groups import Group
from clearseek.training.update.learner import Learner

TRL_NEEDS = (
    "The peer is not here: `pip install --no-deps trl` and `pip install transformers accelerate datasets`, or leave "
    "out `--against trl`."
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One step: prompts, samples of each, new tokens at most; and of supervised examples, how many and how long."""

    prompts: int = 8
    samples: int = 8
    new_tokens: int = 64
    examples: int = 16
    prompt_tokens: int = 32
    completion_tokens: int = 96


def reward_of(ids: Sequence[int]) -> float:
    """Half of all samples earn 1: a hash decides, so that every group is mixed and no model can learn it."""
    return float(hashlib.sha256(repr(tuple(ids)).encode()).digest()[0] & 1)


def peer_of(learner: Learner, dtype: torch.dtype | None = None) -> Any:
    """A copy of the model as `transformers` has it, in `dtype`: by default the type that is computed in."""
    plain = copy.deepcopy(learner.model)
    for parameter in plain.parameters():
        parameter.grad = None
        parameter.requires_grad_(True)
    plain.to(dtype or learner.dtype)
    theirs = as_transformers(plain)
    theirs.get_input_embeddings().weight.requires_grad_(False)  # as ours: the embedding is frozen
    return theirs.train()


@dataclass(frozen=True, slots=True)
class TrlStep:
    """What TRL's trainer did in one step, counted from 0. `model` is its own, to be looked at between steps."""

    number: int
    seconds: float
    tokens: int
    model: Any


def run_trl(
    learner: Learner,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    shape: Shape,
    rewards: Callable[[Sequence[int], Sequence[Sequence[int]]], list[float]],
    after: Callable[[TrlStep], None],
    **settings: Any,
) -> None:
    """TRL's own loop over `prompts`, `shape.prompts` of them a step, in this order; `after` runs between its steps.

    `rewards` gets the places of the samples' prompts in that list, and the samples' ids. `settings` are TRL's;
    with `bf16=True` it keeps float32 weights and casts as it computes. Otherwise weights are of the type computed in:
    quicker, but bfloat16 loses what a step changes by less than about one part in 256.
    """
    try:
        trl = importlib.import_module("trl")
        transformers = importlib.import_module("transformers")
        datasets = importlib.import_module("datasets")
    except ImportError:
        raise UserError(TRL_NEEDS) from None
    if learner.settings.method != "full":
        raise UserError("TRL is compared with in full; leave out `--method lora`.")
    count = {"tokens": 0}

    def reward(completion_ids: Sequence[Sequence[int]], place: Sequence[int], **_: Any) -> list[float]:
        count["tokens"] = sum(map(len, completion_ids))
        return rewards(place, completion_ids)

    clock = {"started": 0.0}

    class Turns(transformers.TrainerCallback):  # type: ignore[name-defined,misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock["started"] = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            seconds = time.perf_counter() - clock["started"]
            after(TrlStep(state.global_step - 1, seconds, count["tokens"], given["model"]))

    rows = [{"prompt": prompt, "place": place} for place, prompt in enumerate(prompts)]
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder))
        theirs_tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        if theirs_tokenizer.pad_token is None:
            theirs_tokenizer.pad_token = theirs_tokenizer.eos_token
        how: dict[str, Any] = {
            "output_dir": folder,
            "per_device_train_batch_size": shape.prompts * shape.samples,
            "gradient_accumulation_steps": 1,
            "num_generations": shape.samples,
            "max_completion_length": shape.new_tokens,
            "max_steps": len(prompts) // shape.prompts,
            "temperature": 1.0,
            "top_k": 0,
            "top_p": 1.0,
            "beta": 0.0,
            "learning_rate": 1e-6,
            "lr_scheduler_type": "constant",
            "gradient_checkpointing": False,
            "use_cpu": learner.device.type == "cpu",
            "bf16": False,
            "fp16": False,
            "report_to": [],
            "save_strategy": "no",
            "logging_strategy": "no",
            "shuffle_dataset": False,
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
        }
        trainer = trl.GRPOTrainer(
            model=peer_of(learner, torch.float32 if settings.get("bf16") else None),
            reward_funcs=reward,
            args=trl.GRPOConfig(**how | settings),
            train_dataset=datasets.Dataset.from_list(rows),
            processing_class=theirs_tokenizer,
            callbacks=[Turns()],
        )
        with contextlib.redirect_stdout(sys.stderr):  # it prints, and stdout is ours
            trainer.train()


def their_sft(model: Any, groups: Sequence[Group], learner: Learner) -> Callable[[], float]:
    """Forward, backward and AdamW on the same examples: the loss on completions, padding not needed."""
    ids_BT = torch.tensor([[*g.prompt, *g.completions[0]] for g in groups], device=learner.device)
    labels_BT = ids_BT.clone()
    labels_BT[:, : len(groups[0].prompt)] = -100
    learns = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learns, lr=1e-6, fused=True)
    rows = max(1, learner.settings.micro_batch_tokens // ids_BT.shape[1])

    def run() -> float:
        started = time.perf_counter()
        optimizer.zero_grad()
        for start in range(0, len(ids_BT), rows):
            part = slice(start, start + rows)
            share = len(ids_BT[part]) / len(ids_BT)
            loss = model(input_ids=ids_BT[part], labels=labels_BT[part]).loss * share
            loss.backward()
        torch.nn.utils.clip_grad_norm_(learns, 1.0)
        optimizer.step()
        return time.perf_counter() - started

    return run
