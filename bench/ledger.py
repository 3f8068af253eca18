"""What the books cost: a span, an entry with and without fsync, the check of the chain, the index.

    python bench/ledger.py [--entries N] [--folder DIR]

Prints a table; each figure is the best of several rounds, because what is measured is our work and not the machine's
other work. `--folder` says on which disk (by default the system's temporary one): fsync is as fast as that disk is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from clearseek.ledger.book import Book, check
from clearseek.ledger.entry import Draft
from clearseek.ledger.index import Index
from clearseek.ledger.meter import Meter
from clearseek.ledger.prices import Rates
from clearseek.ledger.quantity import declared, measured, modelled

RATES = Rates(declared(0.05, "USD/h"), declared(0.30, "USD/kWh"), declared(65, "W"), declared(20, "W"))
DRAFT = Draft(
    "chat",
    labels={"model": "smollm2-135m-instruct", "conversation": "0192f3", "owner": "page", "source": "page"},
    quantities={
        "wall": measured(1.234567, "s", "perf_counter"),
        "cpu": measured(2.345678, "s", "CPU time of the process"),
        "energy": modelled(33.5, "J", "idle + (full - idle) x utilisation, of declared watts", 20.1, 44.3),
        "prompt_tokens": measured(120, "token", "counted"),
        "cached_tokens": measured(64, "token", "counted"),
        "completion_tokens": measured(340, "token", "counted"),
        "flops": modelled(1.24e11, "FLOP", "2N + 2 L H (d_k + d_v) s a token, causal"),
        "money": declared(0.0000171, "USD", "declared USD/h x hours"),
    },
)


def best(rounds: int, times: int, work: Callable[[], object]) -> float:
    """Seconds for one time, in the best of the rounds."""
    found = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(times):
            work()
        found = min(found, (time.perf_counter() - start) / times)
    return found


def span(meter: Meter) -> Callable[[], None]:
    def work() -> None:
        with meter.span("step", model="tiny", run="r1") as one:
            one.count(prompt_tokens=512, completion_tokens=128)

    return work


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--entries", type=int, default=100_000, help="entries of the large book")
    arguments.add_argument("--folder", type=Path, help="where to write")
    given = arguments.parse_args()
    if given.entries < 100:
        sys.exit("--entries must be at least 100.")

    def say(what: str, figure: str) -> None:
        print(f"{what:58} {figure:>14}", flush=True)

    nothing = Meter(lambda draft: None)
    say("span: clocks and counts", f"{best(7, 2000, span(nothing)) * 1e6:.1f} us")
    say(
        "span: with modelled energy and money",
        f"{best(7, 2000, span(Meter(nothing.sink, machine=RATES))) * 1e6:.1f} us",
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        one = Book(Path(folder) / "one.jsonl")
        unsynced = best(7, 500, lambda: one.append(DRAFT, sync=False))
        say("entry appended", f"{unsynced * 1e6:.0f} us")
        say("entry appended and on the disk (fsync)", f"{best(5, 100, lambda: one.append(DRAFT)) * 1e6:.0f} us")
        hundred = [DRAFT] * 100
        say("entry, in batches of 100", f"{best(5, 10, lambda: one.append(*hundred, sync=False)) * 1e4:.0f} us")

        large = Book(Path(folder) / "large.jsonl")
        for done in range(0, given.entries, 100):
            large.append(*hundred[: given.entries - done], sync=False)
        size = large.path.stat().st_size
        say(f"book of {given.entries:,} entries", f"{size / 1e6:.0f} MB")
        checked = best(1, 1, lambda: check(large.path))
        say("  checked, every hash and link", f"{checked:.2f} s")
        index = Index(large.path)
        say("  indexed from nothing", f"{best(1, 1, index.refresh):.2f} s")
        say("  summed by day", f"{best(3, 1, lambda: index.spend('day')) * 1e3:.0f} ms")
        large.append(DRAFT)
        say("  one more entry indexed", f"{best(1, 1, index.refresh) * 1e3:.1f} ms")
        fresh = best(5, 3, lambda: Book(large.path).append(DRAFT, sync=False))
        say("  one more entry, by a process that has just come", f"{fresh * 1e6:.0f} us")


if __name__ == "__main__":
    main()
