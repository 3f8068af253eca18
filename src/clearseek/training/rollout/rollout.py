"""Completions to learn from: many prompts, a group of samples of each, in one continuously filled batch.

A prompt is read once for its whole group; every row of the batch holds one sample at its own position; a row whose
sample has ended takes the next one at once; when none is left, the batch shrinks. What comes back is ids, and with
each the log-probability under exactly the distribution it was drawn from: `score` computes the same numbers from a
training forward on the same ids.

A sample depends on its seed, its prompt and the weights. What is computed beside it changes its logits only by the
rounding of matrix products of another shape (1e-6 in float32), and so practically never a token.

Letters: N rows, V vocabulary, M most new tokens, B samples, T tokens.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.errors import ModelingError
from clearseek.training.rollout.decoder import Decoder, PlainDecoder, find_bad_layer
from clearseek.training.rollout.llama_decoder import LlamaDecoder, can_lay_out
from clearseek.training.rollout.sampling import draw, log_probs_of, uniforms
from clearseek.training.rollout.slots import Job, Progress, Sample, Sampling, Slots, check_prompts, jobs_of, plan_rows
from clearseek.training.rollout.stop_strings import StopStrings
from clearseek.training.update.worker_threads import run_in_threads, worker_count

PREFILL_TOKENS = 2048
"""Prompt tokens read at once, where no single prompt is longer; their keys and values are part of the budget."""

Decode = Callable[[Sequence[int]], str]


def rollout(
    model: CausalLM,
    prompts: Sequence[Sequence[int]],
    *,
    group_size: int = 1,
    sampling: Sampling | None = None,
    seed: int = 0,
    seeds: Sequence[Sequence[int]] | None = None,
    decode: Decode | None = None,
    kv_bytes: int = 1 << 30,
    max_rows: int = 64,
    dtype: torch.dtype | None = None,
    plain: bool = False,
    compiled: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> list[list[Sample]]:
    """`group_size` samples of each prompt (ids), as `[prompt][sample]`.

    The weights are read from the model as it is now, LoRA included; the model is not changed. `dtype` is what is
    computed in (None: the model's own). `seeds[prompt][sample]` decide the samples; without them they follow from
    `seed`. `decode` turns ids into text, for stop strings. `kv_bytes` bounds the keys and values held at once, and
    with them the rows; `max_rows` bounds the rows as well. `plain` calls the model's own forward, and is what happens
    anyway for architectures that cannot be packed; `compiled` lets a packed one use C++ where there is a compiler.
    `progress` is called after each step in which a sample ended; what
    it raises ends the rollout.

    Raises ModelingError for prompts that do not fit, a budget that holds no row, settings that make no sense, and
    logits that are not numbers (the layer is named).
    """
    how = sampling or Sampling()
    config = model.config
    if not prompts:
        return []
    length = check_prompts(prompts, how.max_new, config.max_positions, config.vocab_size)
    if how.stop_strings and decode is None:
        raise ModelingError("Stop strings need a way to decode ids.")
    if any(not 0 <= token < config.vocab_size for token in how.stop_ids):
        raise ModelingError(f"A stop id is outside the vocabulary of {config.vocab_size}.")
    jobs = jobs_of(len(prompts), group_size, seed)
    if seeds is not None:
        if [len(group) for group in seeds] != [group_size] * len(prompts):
            raise ModelingError("Seeds are given for each sample of each prompt, or not at all.")
        jobs = [Job(job.prompt, job.number, int(seeds[job.prompt][job.number]) & (2**63 - 1)) for job in jobs]
    weight = next(iter(model.parameters()))
    compute = dtype or weight.dtype
    if plain and compute != weight.dtype:
        raise ModelingError(f"The plain path computes in the model's own dtype, {weight.dtype}, and not in {compute}.")
    lanes = 1 if plain or not can_lay_out(model) else min(worker_count(weight.device), len(prompts))
    reading = _prefill_tokens(prompts, lanes)
    rows = plan_rows(
        samples=len(jobs),
        row_tokens=length,
        prefill_tokens=reading * lanes,
        token_bytes=kv_bytes_per_token(model, weight.dtype if plain or not can_lay_out(model) else compute),
        kv_bytes=kv_bytes,
        max_rows=max_rows,
    )
    lanes = min(lanes, rows)
    stop = threading.Event()
    with torch.no_grad():  # and not inference_mode: what a model keeps between calls must stay fit for training
        steppers: list[Decoder] = []
        if plain or not can_lay_out(model):
            steppers.append(PlainDecoder(model, rows, length))
        else:
            packed = LlamaDecoder(model, rows // lanes, length, compute, compiled=compiled)
            steppers += [packed, *(packed.beside(model, rows // lanes, length) for _ in range(lanes - 1))]
        runs = []
        for lane, stepper in enumerate(steppers):
            stops = StopStrings(how.stop_strings, decode, config.vocab_size) if how.stop_strings and decode else None
            own = [job for job in jobs if job.prompt % lanes == lane]
            runs.append(_Run(model, stepper, prompts, own, how, stops, rows // lanes, reading, stop))

    def told() -> None:
        if progress is not None:
            progress(_together([run.state() for run in runs]))

    # only the first lane, which runs in this thread, tells; an exception that it raises ends the others, too
    run_in_threads([partial(run.all, told if lane == 0 else None) for lane, run in enumerate(runs)], stop)
    if lanes > 1:
        told()
    groups: list[list[Sample]] = [[] for _ in prompts]
    every = [sample for run in runs for sample in run.samples]
    for sample in sorted(every, key=lambda sample: (sample.prompt, sample.number)):
        groups[sample.prompt].append(sample)
    return groups


def kv_bytes_per_token(model: CausalLM, dtype: torch.dtype) -> int:
    """Bytes of cache for one token in all layers, measured on a cache of one token."""
    from clearseek.training.rollout.decoder import cache_tensors

    size = torch.empty((), dtype=dtype).element_size()
    return sum(tensor.numel() * size for _, tensor, _ in cache_tensors(model.new_cache(1, 1)))


def score(model: CausalLM, prompt: Sequence[int], samples: Sequence[Sample], sampling: Sampling) -> list[Tensor]:
    """The log-probabilities of the samples of one prompt by a training forward, differentiable, one (T,) each.

    Under the distribution they were drawn from: same temperature, and without the stop ids where `min_new` forbade
    them.
    """
    device = next(iter(model.parameters())).device
    longest = max(len(sample.ids) for sample in samples)
    rows = [[*prompt, *sample.ids, *([0] * (longest - len(sample.ids)))] for sample in samples]
    ids_BT = torch.tensor(rows, device=device)
    x_BTD = model.hidden(ids_BT[:, :-1])[:, len(prompt) - 1 :]
    logits_BTV = model.logits(x_BTD).float()
    if sampling.min_new and sampling.stop_ids:
        forbidden_BTV = torch.zeros_like(logits_BTV, dtype=torch.bool)
        forbidden_BTV[:, : sampling.min_new, list(sampling.stop_ids)] = True
        logits_BTV = logits_BTV.masked_fill(forbidden_BTV, float("-inf"))
    found_BT = log_probs_of(logits_BTV, ids_BT[:, len(prompt) :], sampling.temperature)
    return [found_BT[row, : len(sample.ids)] for row, sample in enumerate(samples)]


def _together(states: Sequence[Progress]) -> Progress:
    return Progress(
        done=sum(state.done for state in states),
        samples=sum(state.samples for state in states),
        tokens=sum(state.tokens for state in states),
        rows=sum(state.rows for state in states),
        busy=sum(state.busy for state in states),
        seconds=max(state.seconds for state in states),
    )


def _prefill_tokens(prompts: Sequence[Sequence[int]], lanes: int) -> int:
    """A lane's room for reading: enough for the longest prompt, and for many short ones at once."""
    longest = max(map(len, prompts))
    return max(longest, min(PREFILL_TOKENS, longest * len(prompts)) // lanes)


class _Run:
    """One lane of a rollout under way: tensors over rows, and who sits where."""

    def __init__(
        self,
        model: CausalLM,
        stepper: Decoder,
        prompts: Sequence[Sequence[int]],
        jobs: list[Job],
        how: Sampling,
        stops: StopStrings | None,
        rows: int,
        prefill_tokens: int,
        stop: threading.Event,
    ) -> None:
        self.model, self.stepper, self.prompts, self.how, self.stops = model, stepper, prompts, how, stops
        self.stop = stop
        self.following = sorted({job.prompt for job in jobs})
        self.prefill_tokens = prefill_tokens
        self.waiting = jobs[::-1]  # taken from the end
        self.read: dict[int, int] = {}  # prompt -> its place in the scratch cache
        self.slots = Slots(rows)
        self.samples: list[Sample] = []
        self.total = len(jobs)
        self.tokens = 0
        self.started = time.perf_counter()
        device = stepper.device
        whole: dict[str, Any] = {"dtype": torch.int64, "device": device}
        self.ids_N = torch.zeros(rows, **whole)  # the last token of each row, not yet computed
        self.positions_N = torch.zeros(rows, **whole)  # where it stands
        self.counts_N = torch.zeros(rows, **whole)  # new tokens so far
        self.seeds_N = torch.zeros(rows, **whole)
        self.busy_N = torch.zeros(rows, dtype=torch.bool, device=device)
        self.new_NM = torch.zeros((rows, how.max_new), **whole)
        self.log_probs_NM = torch.zeros((rows, how.max_new), dtype=torch.float32, device=device)
        self.stop_ids_K = torch.tensor(sorted(set(how.stop_ids)), **whole)
        self.row_numbers_N = torch.arange(rows, device=device)

    @torch.no_grad()  # this thread's own setting
    def all(self, tell: Callable[[], None] | None) -> None:
        self.fill()
        while self.slots.count and not self.stop.is_set():
            if self.advance():
                self.fill()
                self.close()
                if tell is not None:
                    tell()

    def state(self) -> Progress:
        seconds = time.perf_counter() - self.started
        return Progress(len(self.samples), self.total, self.tokens, self.slots.count, self.slots.busy(), seconds)

    def fill(self) -> None:
        """Give every free row a waiting sample; prompts are read in batches, ahead of need."""
        free = self.slots.free()[: len(self.waiting)]
        placed: dict[int, list[int]] = {}
        for row in free:
            job = self.waiting[-1]
            if job.prompt not in self.read:
                self.place(placed)
                placed = {}
                self.read_from(job.prompt)
            self.waiting.pop()
            self.slots.put(row, job)
            placed.setdefault(job.prompt, []).append(row)
        self.place(placed)

    def read_from(self, first: int) -> None:
        """Read this prompt and as many of the following as there is room for."""
        batch, width = [first], len(self.prompts[first])
        for prompt in self.following[self.following.index(first) + 1 :]:
            width = max(width, len(self.prompts[prompt]))
            if width * (len(batch) + 1) > self.prefill_tokens:
                break
            batch.append(prompt)
        # the last id of a prompt is computed in the row's first step, which gives the first logits
        self.stepper.read([self.prompts[prompt][:-1] for prompt in batch])
        self.read = {prompt: place for place, prompt in enumerate(batch)}

    def place(self, placed: dict[int, list[int]]) -> None:
        for prompt, rows in placed.items():
            ids = self.prompts[prompt]
            self.stepper.place(self.read[prompt], rows, len(ids) - 1)
            where = torch.tensor(rows, device=self.ids_N.device)
            self.ids_N[where] = ids[-1]
            self.positions_N[where] = len(ids) - 1
            self.counts_N[where] = 0
            self.seeds_N[where] = torch.tensor([self.job(row).seed for row in rows], device=where.device)
            self.busy_N[where] = True

    def job(self, row: int) -> Job:
        job = self.slots.jobs[row]
        assert job is not None
        return job

    def advance(self) -> bool:
        """One token for every row. True where a sample ended."""
        n, how = self.slots.count, self.how
        counts_N, busy_N, rows_N = self.counts_N[:n], self.busy_N[:n], self.row_numbers_N[:n]
        logits_NV = self.stepper.step(self.ids_N[:n], self.positions_N[:n])
        if how.min_new and len(self.stop_ids_K):
            logits_NV = self.without_stops(logits_NV, counts_N)
        ids_N, log_probs_N = draw(logits_NV, uniforms(self.seeds_N[:n], counts_N), how.temperature)
        self.new_NM[rows_N, counts_N.clamp(max=how.max_new - 1)] = ids_N
        self.log_probs_NM[rows_N, counts_N.clamp(max=how.max_new - 1)] = log_probs_N
        self.ids_N[:n] = ids_N
        self.positions_N[:n] += busy_N  # a hole stays where it is
        counts_N += busy_N
        stopped_N = (ids_N[:, None] == self.stop_ids_K).any(dim=1)
        maybe_N = self.stops.maybe(ids_N) if self.stops is not None else None
        wrong_N = ~torch.isfinite(log_probs_N)
        look_N = busy_N & (stopped_N | (counts_N >= how.max_new) | wrong_N)
        if maybe_N is not None:
            look_N = look_N | (busy_N & maybe_N)
        rows = look_N.nonzero()[:, 0].tolist()
        ended = [row for row in rows if self.end(row, bool(stopped_N[row]), bool(wrong_N[row]))]
        return bool(ended)

    def without_stops(self, logits_NV: Tensor, counts_N: Tensor) -> Tensor:
        early_N1 = (counts_N < self.how.min_new)[:, None]
        kept_NK = logits_NV[:, self.stop_ids_K]
        logits_NV[:, self.stop_ids_K] = kept_NK.masked_fill(early_N1, float("-inf"))
        return logits_NV

    def end(self, row: int, stopped: bool, wrong: bool) -> bool:
        """Take the sample out of a row, if it has ended."""
        count = int(self.counts_N[row])
        ids = self.new_NM[row, :count].tolist()
        if wrong:
            self.tell_bad(row, ids)
        if stopped:
            finish: Any = "stop_id"
        elif self.stops is not None and count >= self.how.min_new and self.stops.completed(ids):
            finish = "stop_string"
        elif count >= self.how.max_new:
            finish = "length"
        else:
            return False
        job = self.slots.take(row)
        log_probs = self.log_probs_NM[row, :count].tolist()
        self.samples.append(Sample(job.prompt, job.number, job.seed, tuple(ids), tuple(log_probs), finish))
        self.busy_N[row] = False
        self.tokens += count
        return True

    def close(self) -> None:
        """Shrink the batch when nothing waits any more."""
        for source, target in self.slots.closing_moves():
            tokens = int(self.positions_N[source])  # what has been computed; the last id has not
            self.stepper.move(source, target, tokens)
            for tensor in (self.ids_N, self.positions_N, self.counts_N, self.seeds_N, self.busy_N):
                tensor[target] = tensor[source]
            self.new_NM[target] = self.new_NM[source]
            self.log_probs_NM[target] = self.log_probs_NM[source]
            self.busy_N[source] = False

    def tell_bad(self, row: int, ids: list[int]) -> None:
        job = self.job(row)
        layer = find_bad_layer(self.model, [*self.prompts[job.prompt], *ids[:-1]])
        where = f"the first layer that gives something else than numbers is {layer}" if layer else "no layer by itself"
        raise ModelingError(
            f"The logits are not numbers at new token {len(ids)} of sample {job.number} of prompt {job.prompt}: "
            f"{where}."
        )
