"""Micro-batches: nothing is lost, nothing comes twice, a prompt stands once."""

from __future__ import annotations

import random

import pytest

torch = pytest.importorskip("torch")

from clearseek.training.data.groups import Group  # noqa: E402
from clearseek.training.update.batch_layout import micro_batches, pack  # noqa: E402

CPU = torch.device("cpu")


def groups_of(seed: int) -> list[Group]:
    rng = random.Random(seed)

    def some(least: int, most: int) -> tuple[int, ...]:
        return tuple(rng.randrange(100) for _ in range(rng.randint(least, most)))

    return [Group(some(1, 9), tuple(some(1, 7) for _ in range(rng.randint(1, 5)))) for _ in range(rng.randint(1, 6))]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("tokens", [1, 12, 40, 10_000])
@pytest.mark.parametrize("shared", [True, False])
def test_every_token_has_its_place(seed: int, tokens: int, shared: bool) -> None:
    groups = groups_of(seed)
    flat = [token for group in groups for completion in group.completions for token in completion]
    found: dict[int, int] = {}
    for pieces in micro_batches(groups, tokens, shared=shared):
        packed = pack(pieces, CPU)
        assert len(packed.ids_N) == sum(piece.computed for piece in pieces)
        assert len(packed.ids_N) <= tokens or (len(pieces) == 1 and len(pieces[0].chosen) == 1)
        for place, token in zip(packed.place_M.tolist(), packed.targets_M.tolist(), strict=True):
            assert place not in found
            found[place] = token
        rows = torch.cat([block.index_BT[block.index_BT >= 0] for block in packed.blocks])
        assert sorted(rows.tolist()) == list(range(len(packed.ids_N)))  # each token is in one block
        for block in packed.blocks:
            for row in block.keys_BS.tolist():  # what a row sees is a text from its beginning
                seen = [token for token in row if token >= 0]
                assert packed.positions_N[seen].tolist() == list(range(len(seen)))
                assert row == seen + [-1] * (len(row) - len(seen))
    assert [found[place] for place in range(len(flat))] == flat


def test_a_prompt_stands_once_for_its_group() -> None:
    group = Group((1, 2, 3, 4), ((5, 6), (7, 8, 9), (5,)))
    ((piece,),) = micro_batches([group], 100)
    packed = pack([piece], CPU)
    assert packed.ids_N.tolist() == [1, 2, 3, 4, 5, 7, 8]
    assert packed.positions_N.tolist() == [0, 1, 2, 3, 4, 4, 5]
    assert packed.source_M.tolist() == [3, 4, 3, 5, 6, 3]
    assert packed.targets_M.tolist() == [5, 6, 7, 8, 9, 5]
    trunk, branch = packed.blocks
    assert (trunk.prefix, branch.prefix) == (None, slice(0, 4))
    assert branch.index_BT.tolist() == [[4, -1], [5, 6]]
    assert branch.keys_BS.tolist() == [[0, 1, 2, 3, 4, -1], [0, 1, 2, 3, 5, 6]]


def test_what_is_alike_comes_together() -> None:
    groups = [Group((1,), ((2,) * n,)) for n in (3, 30, 4, 29, 31, 3)]
    batches = micro_batches(groups, 69)
    assert [[piece.computed for piece in pieces] for pieces in batches] == [[3, 3, 4, 29, 30], [31]]
    assert [len(block.index_BT) for block in pack(batches[0], CPU).blocks] == [3, 2]
