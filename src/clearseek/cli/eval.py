"""`clearseek eval`: how often a model is right, how sure that is, and every transcript."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from clearseek.errors import UsageError


class Split(StrEnum):
    train = "train"
    dev = "dev"
    test = "test"


class Thinking(StrEnum):
    on = "on"
    off = "off"
    both = "both"


def evaluate(
    model: Annotated[
        str,
        typer.Argument(help="A model's name, a GGUF, a run or Hugging Face folder, or an evaluation made before."),
    ],
    suite: Annotated[str, typer.Option("--suite", help="Which suite of tasks.")] = "r1",
    task: Annotated[
        list[str] | None,
        typer.Option("--task", help="Only this task, or a .py or .jsonl of yours; may be given again."),
    ] = None,
    split: Annotated[Split, typer.Option("--split", help="Which problems.")] = Split.test,
    n: Annotated[int, typer.Option("--n", min=1, max=100_000, help="Problems a task.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Same seed, same problems.")] = 0,
    samples: Annotated[int, typer.Option("--samples", min=1, max=1024, help="Answers to each problem.")] = 1,
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0.0, max=5.0, help="0 is greedy, the default for one sample.")
    ] = None,
    thinking: Annotated[Thinking, typer.Option("--thinking", help="Whether to think first.")] = Thinking.on,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Tokens of thinking; several are several evaluations: 64,128,256.")
    ] = None,
    max_answer: Annotated[int, typer.Option("--max-answer", min=1, max=65536, help="Tokens of an answer.")] = 256,
    system: Annotated[str | None, typer.Option("--system", help="Instructions before every problem.")] = None,
    engine_url: Annotated[
        str | None, typer.Option("--engine-url", help="Ask a model of an OpenAI-compatible server instead.")
    ] = None,
    at_once: Annotated[
        int | None,
        typer.Option("--at-once", min=1, max=64, help="Answers side by side; 1 gives the same bits every time."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for transcripts and report.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Ask afresh what was answered before.")] = False,
    compare: Annotated[Path | None, typer.Option("--compare", help="Another evaluation, paired by problem.")] = None,
    chat_against: Annotated[
        str | None, typer.Option("--chat-against", help="Instead: everyday chat, next to this base model's.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Accuracy per task with confidence intervals, pass@k, transcripts kept; interrupted, it goes on where it was."""
    from clearseek.cli import eval_run

    if samples > 1 and temperature == 0:
        raise UsageError("Greedy answers to one problem are all the same: give a --temperature, or one sample.")
    warmth = (0.0 if samples == 1 else 0.6) if temperature is None else temperature
    if 0 < warmth < 0.01:
        raise UsageError("--temperature is 0, or at least 0.01.")
    if chat_against is not None:
        eval_run.chat(model, chat_against, seed=seed, out=out, json=json_)
        return
    eval_run.run(
        eval_run.EvalOptions(
            model=model,
            suite=suite,
            tasks=tuple(task or ()),
            split=split.value,
            n=n,
            seed=seed,
            samples=samples,
            temperature=warmth,
            thinking=thinking.value,
            budgets=_budgets(budget),
            max_answer=max_answer,
            system=system,
            engine_url=engine_url,
            at_once=at_once,
            out=out,
            again=again,
            compare=compare,
            json=json_,
        )
    )


def _budgets(given: str | None) -> tuple[int, ...]:
    if given is None:
        return ()
    try:
        result = tuple(dict.fromkeys(int(part) for part in given.split(",")))
    except ValueError:
        result = ()
    if not result or not all(1 <= tokens <= 1 << 20 for tokens in result):
        raise UsageError(f"--budget takes numbers of tokens, such as 64,128,256; got {given!r}.")
    return result
