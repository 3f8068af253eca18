"""What is asked of a rollout and what comes back, and which sample sits in which row of the batch.

No tensors here: the bookkeeping of continuous batching in plain Python, run once for each sample and not once for each
token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clearseek.modeling.errors import ModelingError

Finish = Literal["stop_id", "stop_string", "length"]

MAX_STOPS = 256
MAX_STOP_STRING = 256


@dataclass(frozen=True, slots=True)
class Sampling:
    """How samples are drawn.

    Before `min_new` tokens are out, the stop ids have probability 0, and the log-probabilities are those of the
    distribution without them. `stop_strings` are looked for in the decoded new text, from `min_new` tokens on. The id
    that stops, and the ids that complete a stop string, belong to the sample: they were drawn, and are learned from.
    """

    max_new: int = 256
    min_new: int = 0
    temperature: float = 1.0
    stop_ids: tuple[int, ...] = ()
    stop_strings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.min_new <= self.max_new or self.max_new < 1:
            raise ModelingError(
                f"A sample needs 0 <= min_new <= max_new and max_new >= 1; got {self.min_new} and {self.max_new}."
            )
        if not 0.0 <= self.temperature <= 100.0 or 0.0 < self.temperature < 0.01:
            raise ModelingError(f"The temperature is 0 or between 0.01 and 100; got {self.temperature}.")
        if len(self.stop_ids) > MAX_STOPS or len(self.stop_strings) > MAX_STOPS:
            raise ModelingError(f"At most {MAX_STOPS} stop ids and {MAX_STOPS} stop strings can be watched for.")
        if any(not text or len(text) > MAX_STOP_STRING for text in self.stop_strings):
            raise ModelingError(f"A stop string has 1 to {MAX_STOP_STRING} characters.")


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion: `ids` and the log-probability of each under the distribution it was drawn from."""

    prompt: int
    """Index of its prompt."""
    number: int
    """Index in its group."""
    seed: int
    ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    finish: Finish


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rollout is. `rows` are computed at this moment, of which `busy` hold an unfinished sample."""

    done: int
    samples: int
    tokens: int
    rows: int
    busy: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Job:
    """A sample that waits or runs."""

    prompt: int
    number: int
    seed: int


def jobs_of(prompts: int, group_size: int, seed: int) -> list[Job]:
    """Every sample to draw, group by group. A sample's seed follows from (seed, prompt, number) alone."""
    return [
        Job(prompt, number, sample_seed(seed, prompt, number))
        for prompt in range(prompts)
        for number in range(group_size)
    ]


def sample_seed(seed: int, prompt: int, number: int) -> int:
    """A 63-bit seed for one sample; distinct for fewer than 2**31 prompts of at most 2**16 samples."""
    return (seed * 0x5851F42D4C957F2D + (prompt << 16) + number) & ((1 << 63) - 1)


def kv_bytes(gigabytes: float) -> int:
    """Bytes of a recipe's `kv_gigabytes`; a gigabyte is 10^9 bytes, as in everything that is told."""
    return int(gigabytes * 1e9)


def plan_rows(
    *, samples: int, row_tokens: int, prefill_tokens: int, token_bytes: int, kv_bytes: int, max_rows: int
) -> int:
    """Rows that fit into the KV budget beside the space in which prompts are read.

    Raises ModelingError, with the sum, when not even one does.
    """
    if samples < 1 or max_rows < 1:
        raise ModelingError("A rollout needs at least one prompt, one sample of it and one row.")
    room = kv_bytes - prefill_tokens * token_bytes
    rows = min(samples, max_rows, room // max(1, row_tokens * token_bytes))
    if rows < 1:
        need = (row_tokens + prefill_tokens) * token_bytes
        raise ModelingError(
            f"The KV budget of {kv_bytes / 1e6:.1f} MB holds no row: the longest prompt and its completion are "
            f"{row_tokens} tokens, reading prompts takes {prefill_tokens} more, at {token_bytes} bytes a token that is "
            f"{need / 1e6:.1f} MB."
        )
    return int(rows)


def check_prompts(prompts: Sequence[Sequence[int]], max_new: int, max_positions: int, vocab_size: int) -> int:
    """Tokens a row must hold: the longest prompt and `max_new`. Raises ModelingError, naming the prompt at fault."""
    longest = 0
    for index, ids in enumerate(prompts):
        if not ids:
            raise ModelingError(f"Prompt {index} is empty; a completion needs at least one id to follow.")
        if len(ids) + max_new > max_positions:
            raise ModelingError(
                f"Prompt {index} is {len(ids)} tokens long, and with {max_new} new ones that is more than the "
                f"{max_positions} positions the cache can hold."
            )
        if min(ids) < 0 or max(ids) >= vocab_size:
            raise ModelingError(f"Prompt {index} holds an id outside the vocabulary of {vocab_size}.")
        longest = max(longest, len(ids))
    return longest + max_new


class Slots:
    """Which job sits in which row. Rows `0 .. count` are computed; a hole among them is computed for nothing."""

    def __init__(self, rows: int) -> None:
        self.jobs: list[Job | None] = [None] * rows
        self.count = 0

    def free(self) -> list[int]:
        return [row for row, job in enumerate(self.jobs) if job is None]

    def busy(self) -> int:
        return sum(job is not None for job in self.jobs)

    def put(self, row: int, job: Job) -> None:
        self.jobs[row] = job
        self.count = max(self.count, row + 1)

    def take(self, row: int) -> Job:
        job = self.jobs[row]
        assert job is not None
        self.jobs[row] = None
        return job

    def closing_moves(self) -> list[tuple[int, int]]:
        """Moves (from, to) that bring the busy rows together, once at least an eighth of the rows are holes.

        The jobs are moved here; moving their tensors is the caller's. Not done for every hole, because a move copies
        a row's cache.
        """
        holes = [row for row in range(self.count) if self.jobs[row] is None]
        if not holes or len(holes) * 8 < self.count:
            return []
        busy = self.count - len(holes)
        sources = [row for row in range(busy, self.count) if self.jobs[row] is not None]
        moves = list(zip(sources, [hole for hole in holes if hole < busy], strict=True))
        for source, target in moves:
            self.jobs[target], self.jobs[source] = self.jobs[source], None
        self.count = busy
        return moves
