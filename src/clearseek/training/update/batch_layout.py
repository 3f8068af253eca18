"""What is trained on, cut into micro-batches and laid out without padding.

All tokens of a micro-batch stand one below the other, so that every linear layer is one product over rows that all
count. A group's prompt stands there once: its completions attend to it and to themselves, and to nothing else.

Letters: N tokens computed, M completion tokens (they are what is scored), B rows of a block, T tokens of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clearseek.modeling.errors import ModelingError
from clearseek.training.data.groups import Group


@dataclass(frozen=True, slots=True)
class Piece:
    """Some completions of a group, by their numbers, computed together; `places` are where their tokens stand in the
    flat order of the whole batch."""

    group: Group
    chosen: tuple[int, ...]
    places: tuple[int, ...]

    @property
    def computed(self) -> int:
        """Rows of the products: the prompt once, and each completion without its last token, which predicts nothing."""
        return len(self.group.prompt) + sum(len(self.group.completions[number]) - 1 for number in self.chosen)


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that attend in the same way: each to itself, causally, and to the `prefix` before it, the same for all.

    `index_BT` says which of the N tokens stands where, with -1 where a row is shorter than the longest; those places
    come last in a row, so no real token ever looks at them. `keys_BS` is the same with the prefix's tokens in front.
    """

    index_BT: Tensor
    keys_BS: Tensor
    prefix: slice | None


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """A micro-batch as tensors. `source_M` are the tokens whose state predicts `targets_M`; `place_M` where those
    stand in the flat order of the whole batch (groups, their completions, their tokens)."""

    ids_N: Tensor
    positions_N: Tensor
    source_M: Tensor
    targets_M: Tensor
    place_M: Tensor
    blocks: tuple[Block, ...]


def check_groups(groups: Sequence[Group], vocab_size: int, max_positions: int) -> None:
    """Raises ModelingError for a group that cannot be trained on, by number."""
    if not groups:
        raise ModelingError("There is nothing to train on: no group was given.")
    for number, group in enumerate(groups):
        if not group.prompt or not group.completions or not all(group.completions):
            raise ModelingError(f"Group {number} needs a prompt and completions that are not empty.")
        longest = len(group.prompt) + max(map(len, group.completions)) - 1
        if longest > max_positions:
            raise ModelingError(f"Group {number} has {longest} tokens in a row; the model has {max_positions} places.")
        for ids in (group.prompt, *group.completions):
            if min(ids) < 0 or max(ids) >= vocab_size:
                raise ModelingError(f"Group {number} holds an id outside the vocabulary of {vocab_size}.")


def micro_batches(groups: Sequence[Group], max_tokens: int, *, shared: bool = True) -> list[list[Piece]]:
    """Pieces of at most `max_tokens` computed tokens together; one completion alone may have more.

    A group that does not fit is cut between completions, and its prompt computed again. Groups of like length come
    together, so that rows of attention are seldom filled up; the order is the same for the same groups. Without
    `shared`, a piece is one completion and its prompt.
    """
    return _filled(_pieces(groups, max_tokens, shared), max_tokens)


def worker_batches(groups: Sequence[Group], max_tokens: int, lanes: int) -> list[list[list[Piece]]]:
    """Micro-batches for each of at most `lanes` lanes, which get about as many tokens each and hold at most
    `max_tokens` at once, all together."""
    most = max(1, max_tokens // lanes)
    loads = [0] * lanes
    dealt: list[list[Piece]] = [[] for _ in range(lanes)]
    for piece in sorted(_pieces(groups, most, True), key=lambda piece: -piece.computed):  # the longest first
        lane = loads.index(min(loads))
        dealt[lane].append(piece)
        loads[lane] += piece.computed
    return [_filled(pieces, most) for pieces in dealt if pieces]


def _pieces(groups: Sequence[Group], max_tokens: int, shared: bool) -> list[Piece]:
    pieces: list[Piece] = []
    start = 0
    for group in groups:
        chosen: list[int] = []
        places: list[int] = []
        tokens = len(group.prompt)
        for number, completion in enumerate(group.completions):
            more = len(completion) - 1
            if chosen and (not shared or tokens + more > max_tokens):
                pieces.append(Piece(group, tuple(chosen), tuple(places)))
                chosen, places, tokens = [], [], len(group.prompt)
            chosen.append(number)
            places += range(start, start + len(completion))
            start += len(completion)
            tokens += more
        pieces.append(Piece(group, tuple(chosen), tuple(places)))
    return pieces


def _filled(pieces: list[Piece], max_tokens: int) -> list[list[Piece]]:
    pieces = sorted(
        pieces, key=lambda piece: len(piece.group.prompt) + max(len(piece.group.completions[n]) for n in piece.chosen)
    )
    batches: list[list[Piece]] = []
    room = 0
    for piece in pieces:
        cost = piece.computed
        if not batches or cost > room:
            batches.append([])
            room = max_tokens
        batches[-1].append(piece)
        room -= cost
    return batches


def pack(pieces: Sequence[Piece], device: torch.device) -> MicroBatch:
    """Lay a micro-batch out. A piece with one completion is one row; others are a prompt and rows that share it."""
    ids: list[int] = []
    positions: list[int] = []
    source: list[int] = []
    targets: list[int] = []
    trunks: list[list[int]] = []
    branches: list[tuple[list[list[int]], slice]] = []
    for piece in pieces:
        prompt = piece.group.prompt
        start = len(ids)
        ids += prompt
        positions += range(len(prompt))
        end = start + len(prompt)
        rows: list[list[int]] = []
        for number in piece.chosen:
            completion = piece.group.completions[number]
            at = len(ids)
            ids += completion[:-1]
            positions += range(len(prompt), len(prompt) + len(completion) - 1)
            rows.append([*range(at, len(ids))])
            source += [end - 1, *rows[-1]]
            targets += completion
        if len(rows) == 1:
            trunks.append([*range(start, len(ids))])
        else:
            trunks.append([*range(start, end)])
            longer = [row for row in rows if row]
            if longer:
                branches.append((longer, slice(start, end)))
    blocks = [_block(rows, None, device) for rows in _alike(trunks)]
    blocks += [_block(rows, prefix, device) for rows, prefix in branches]

    def flat(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=device)

    places = flat([place for piece in pieces for place in piece.places])
    return MicroBatch(flat(ids), flat(positions), flat(source), flat(targets), places, tuple(blocks))


def _alike(rows: list[list[int]]) -> Iterator[list[list[int]]]:
    """Rows in runs within which the shortest has at least three quarters of the longest's tokens."""
    run: list[list[int]] = []
    for row in sorted(rows, key=len):
        if run and len(run[0]) * 4 < len(row) * 3:
            yield run
            run = []
        run.append(row)
    if run:
        yield run


def _block(rows: list[list[int]], prefix: slice | None, device: torch.device) -> Block:
    width = max(map(len, rows))
    index_BT = torch.tensor([[*row, *([-1] * (width - len(row)))] for row in rows], device=device)
    if prefix is None:
        return Block(index_BT, index_BT, None)
    before_P = torch.arange(prefix.start, prefix.stop, device=device)
    return Block(index_BT, torch.cat((before_P.expand(len(rows), -1), index_BT), dim=1), prefix)
