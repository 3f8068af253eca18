"""`bench serve`: our server against its peers, in turns in the same run, on the same file with the same prompts.

Every arm gets the same context, slots and threads. All stand loaded, and one at a time is asked; which one goes first
changes from round to round, so that a machine that grows warm or slow does not favour one. Each request has a prompt
of its own, so that no cache helps; each answer is exactly as long as asked for, or it is counted as it was.
"""

from __future__ import annotations

import contextlib
import signal
import statistics
import sys
import time
from typing import Any

from clearseek.cli import bench_servers
from clearseek.cli.bench_servers import Server, load

TOKENS = 64
TURN_TOKENS = 24
REQUESTS = 8
"""Requests of one measurement, shared out among the users (at least one each)."""
SETTLE_SECONDS = 0.3
WANTED_RATIO = 0.97
WANTED_METERED_RATIO = 0.99
"""Throughput with the books kept, by that without them."""
WANTED_FIRST_TOKEN_MS = 15.0
WANTED_MEMORY_MB = 200.0
THINGS = (
    *("a lighthouse", "an old clock", "a river in spring", "two brothers", "a lost map", "the night train", "a garden"),
    *("a violin", "the first snow", "a market", "a long bridge", "an island", "a baker", "the north wind", "a tower"),
)


def body(round_: int, level: int, user: int, turn: int, name: str) -> dict[str, Any]:
    """One request: the same for every arm, and like no other in the run."""
    thing = THINGS[(round_ * 31 + level * 7 + user * 3 + turn) % len(THINGS)]
    number = ((round_ * 100 + level) * 100 + user) * 10 + turn
    question = f"Story number {number}: tell me a very long story about {thing}, with many characters and many details."
    return {
        "model": name,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
        "thinking": {"type": "disabled"},
        # The same for a bare llama.cpp: it knows no `thinking`, and would think first, about another prompt.
        "chat_template_kwargs": {"enable_thinking": False},
    }


def measure(peers: list[str], levels: list[int], rounds: int, model: str | None) -> dict[str, Any]:
    """Run it all. Progress goes to stderr; returns the report as a JSON-able dict (times in ms, rates in tokens/s)."""
    from clearseek.cli.first_model import ensure_model
    from clearseek.hub.gguf_file import read_header
    from clearseek.hub.store import Store
    from clearseek.inference.llamacpp import plan_for
    from clearseek.settings import home, load_settings

    settings = load_settings(model=model, port=0, host="127.0.0.1")
    store = Store(home() / "models")
    ensure_model(settings, store)
    found = store.find(settings.model)
    header = read_header(found.path)
    plan = plan_for(found, header, context=settings.context, slots=settings.slots, threads=settings.threads)
    skipped: dict[str, str] = {}
    # being ended must end the servers too: leave through the blocks below
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(bench_servers.clearseek_server(found.name, plan))
        arms = [ours]
        for peer in peers:
            try:
                arms.append(stack.enter_context(bench_servers.PEERS[peer](found, plan)))
            except bench_servers.NotHere as error:
                skipped[peer] = str(error)
                print(f"{peer}: skipped, {error}", file=sys.stderr)
        for arm in arms:  # load the weights, warm the caches of the processor
            load(arm, [[body(99, 0, 0, turn, found.name) for turn in range(2)]])
        cells: dict[int, dict[str, list[dict[str, float]]]] = {}
        with ours.watched() as watch:
            for round_ in range(rounds):
                for level in levels:
                    order = arms if round_ % 2 == 0 else arms[::-1]
                    for arm in order:
                        time.sleep(SETTLE_SECONDS)
                        cell = _cell(arm, round_, level, found.name)
                        cells.setdefault(level, {}).setdefault(arm.name, []).append(cell)
                        rate = f"{cell['tokens_per_second']:.1f} tokens/s"
                        print(f"round {round_ + 1}/{rounds}, {level} users, {arm.name}: {rate}", file=sys.stderr)
        turns = {mode: _turns(ours.url, found.name, mode) for mode in ("disabled", "enabled")}
    report: dict[str, Any] = {
        "model": {"name": found.name, "quant": found.quant, "sha256": found.sha256},
        "plan": {"context": plan.context, "slots": plan.slots, "threads": plan.threads},
        "rounds": rounds,
        "tokens_per_answer": TOKENS,
        "levels": [_compare(level, cells[level], [arm.name for arm in arms[1:]]) for level in levels],
        "memory_mb": round(watch.peak_rss / 1e6, 1),
        "turns": turns,
        "skipped": skipped,
    }
    report["met"] = _met(report)
    return report


def _cell(arm: Server, round_: int, level: int, name: str) -> dict[str, float]:
    each = max(1, REQUESTS // level)
    before = arm.cpu_seconds()
    answers = load(arm, [[body(round_, level, user, turn, name) for turn in range(each)] for user in range(level)])
    tokens = sum(answer["completion_tokens"] for answer in answers)
    seconds = max(answer["ended"] for answer in answers) - min(answer["started"] for answer in answers)
    return {
        "tokens_per_second": tokens / seconds,
        "first_token_ms": statistics.median(1000 * (answer["first"] - answer["started"]) for answer in answers),
        "tokens": tokens,
        "prompt_tokens": sum(answer["prompt_tokens"] for answer in answers),
        "cpu_us_per_token": 1e6 * (arm.cpu_seconds() - before) / max(1, tokens),
    }


def _compare(level: int, cells: dict[str, list[dict[str, float]]], peers: list[str]) -> dict[str, Any]:
    ours = cells["clearseek"]
    compared: dict[str, Any] = {"users": level, "clearseek": _medians(ours), "against": {}}
    for peer in peers:
        theirs = cells[peer]
        ratios = [a["tokens_per_second"] / b["tokens_per_second"] for a, b in zip(ours, theirs, strict=True)]
        later = [a["first_token_ms"] - b["first_token_ms"] for a, b in zip(ours, theirs, strict=True)]
        compared["against"][peer] = {
            **_medians(theirs),
            "ratio": _spread(ratios, 3),
            "first_token_later_ms": _spread(later, 1),
            "same_prompt_tokens": [a["prompt_tokens"] for a in ours] == [b["prompt_tokens"] for b in theirs],
        }
    return compared


def _medians(cells: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(cell[key] for cell in cells), 2) for key in cells[0]}


def _spread(values: list[float], digits: int) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
    }


def _met(report: dict[str, Any]) -> dict[str, bool]:
    met = {f"memory under {WANTED_MEMORY_MB:.0f} MB": report["memory_mb"] < WANTED_MEMORY_MB}
    for level in report["levels"]:
        bare = level["against"].get("bare")
        if bare:
            users = f"{level['users']} users"
            met[f"{users}: the same prompts"] = bare["same_prompt_tokens"]
            met[f"{users}: throughput at least {WANTED_RATIO} of bare"] = bare["ratio"]["median"] >= WANTED_RATIO
            late = bare["first_token_later_ms"]["median"]
            met[f"{users}: first token within {WANTED_FIRST_TOKEN_MS:.0f} ms of bare"] = late <= WANTED_FIRST_TOKEN_MS
        closed = level["against"].get("unmetered")
        if closed:
            costs = f"{level['users']} users: metering costs at most {1 - WANTED_METERED_RATIO:.0%}"
            met[costs] = closed["ratio"]["median"] >= WANTED_METERED_RATIO
    last = report["turns"]["disabled"][-1]
    met["turn 10 reads only what is new"] = last["read_tokens"] <= last["new_tokens"]
    return met


def _turns(url: str, name: str, thinking: str) -> list[dict[str, int]]:
    """Ten turns of one conversation.

    `new_tokens` (where nothing was thought) are those that no earlier turn can have left in the cache: what the prompt
    grew by, less the last answer, plus its last token, which llama.cpp had written but not yet read.
    """
    messages: list[dict[str, str]] = []
    turns: list[dict[str, int]] = []
    prompt_before, answer_before = 0, 0
    for turn in range(10):
        messages.append({"role": "user", "content": f"Question {turn + 1}: tell me one more thing about whales."})
        answer, usage = bench_servers.ask_once(
            url,
            {
                "model": name,
                "messages": messages,
                "temperature": 0,
                "max_tokens": TURN_TOKENS if thinking == "disabled" else 4 * TURN_TOKENS,
                "thinking": {"type": thinking},
                "reasoning_effort": "low",
            },
        )
        messages.append({"role": "assistant", "content": answer})
        prompt, cached = usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]
        turn_counts = {"prompt_tokens": prompt, "cached_tokens": cached, "read_tokens": prompt - cached}
        if thinking == "disabled":  # thinking is not sent back: an answer after it has to be read in its new place
            turn_counts["new_tokens"] = prompt - prompt_before - answer_before + 1
        turns.append(turn_counts)
        prompt_before, answer_before = prompt, usage["completion_tokens"]
    return turns


def show(report: dict[str, Any]) -> None:
    """The report as tables on stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    plan = report["plan"]
    console.print(
        f"{report['model']['name']} ({report['model']['quant']}), {plan['slots']} slots, {plan['threads']} threads; "
        f"medians of {report['rounds']} rounds, [min to max] of the comparison within a round"
    )
    table = Table(
        "users", "server", "tokens/s", "first token, ms", "ours / theirs", "ours later by, ms", "CPU µs/token"
    )
    for level in report["levels"]:
        for name, cell in [("clearseek", level["clearseek"]), *level["against"].items()]:
            table.add_row(
                str(level["users"]),
                name,
                f"{cell['tokens_per_second']:.1f}",
                f"{cell['first_token_ms']:.1f}",
                _shown(cell.get("ratio")),
                _shown(cell.get("first_token_later_ms")),
                f"{cell['cpu_us_per_token']:.0f}" if name == "clearseek" else "",
            )
    console.print(table)
    console.print(f"Memory of our server process (without the engine): {report['memory_mb']:.0f} MB at most")
    table = Table("turn", "prompt tokens", "from the cache", "read", "new", title="One conversation, not thinking")
    for number, turn in enumerate(report["turns"]["disabled"], 1):
        table.add_row(
            str(number), *(str(turn[key]) for key in ("prompt_tokens", "cached_tokens", "read_tokens", "new_tokens"))
        )
    console.print(table)
    for peer, why in report["skipped"].items():
        console.print(f"{peer}: skipped, {why}")
    for wanted, met in report["met"].items():
        console.print(f"{'yes' if met else 'NO '}  {wanted}")


def _shown(spread: dict[str, float] | None) -> str:
    return f"{spread['median']:g} \\[{spread['min']:g} to {spread['max']:g}]" if spread else ""
