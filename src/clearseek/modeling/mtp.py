"""What tokens further ahead are good for: one more loss in training, and guesses to be checked in generation.

The loss is that of the DeepSeek-V3 report (arXiv 2412.19437, section 2.2, equations 24 and 25). Generation is
speculative sampling (Leviathan et al., arXiv 2211.17192, algorithm 1): the MTP modules guess a few tokens, the model
reads them in one pass, and a guess is kept with probability min(1, p / q); what is generated has exactly the model's
own distribution p, however bad the guesses q are.

Letters: B rows, T tokens, D width, V vocabulary, K guesses.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from clearseek.modeling.deepseek_v3 import DeepseekV3
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.moe import Routing

LOSS_WEIGHT = 0.3
"""The report's lambda for most of its training (section 4.2)."""


def mtp_loss(
    model: DeepseekV3,
    ids_BT: Tensor,
    x_BTD: Tensor,
    mask_BT: Tensor | None = None,
    *,
    weight: float = LOSS_WEIGHT,
    routes: list[Routing] | None = None,
) -> Tensor:
    """weight x mean over the modules of their cross-entropy, in nats; fp32, shape ().

    `x_BTD` is `model.hidden(ids_BT)`. Module k (from 1) sees each token's state and the k-th token after it, and
    predicts the one after that. `mask_BT`, True where a token counts as a target. Tokens too near the end of a row have
    nothing to predict. 0 for a model without modules, or with rows too short for any.
    """
    total = torch.zeros((), dtype=torch.float32, device=x_BTD.device)
    depths = min(model.config.mtp_layers, max(ids_BT.shape[1] - 2, 0))
    for depth in range(depths):
        x_BTD = model.further(depth, x_BTD[:, :-1], ids_BT[:, depth + 1 :], routes=routes)
        targets_BT = ids_BT[:, depth + 2 :]
        if mask_BT is not None:
            targets_BT = targets_BT.masked_fill(~mask_BT[:, depth + 2 :].bool(), -100)
        logits_NV = model.logits(x_BTD[:, :-1]).float().flatten(0, 1)
        count = (targets_BT != -100).sum().clamp_min(1)
        total = total + functional.cross_entropy(logits_NV, targets_BT.flatten(), reduction="sum") / count
    return weight * total / max(model.config.mtp_layers, 1)


@dataclass(frozen=True, slots=True)
class Generated:
    """What `speculate` made: `ids_T`, and `logprobs_T` under the model's distribution at the temperature asked for
    (fp32); `guessed` and `kept` count guesses, `passes` how often the model itself ran."""

    ids_T: Tensor
    logprobs_T: Tensor
    guessed: int
    kept: int
    passes: int


@torch.no_grad()
def speculate(
    model: DeepseekV3,
    prompt_T: Tensor,
    most: int,
    *,
    temperature: float = 1.0,
    stop_ids: Collection[int] = (),
    seed: int = 0,
) -> Generated:
    """Generate up to `most` tokens after a prompt of ids (T,), with the MTP modules guessing ahead.

    Ends after the first of `stop_ids`, which is part of the result. Temperature 0 takes the likeliest token each time:
    the same tokens as without guesses. Raises ModelingError for a model without MTP modules and an empty prompt.
    """
    depths = model.config.mtp_layers
    if not depths or not len(prompt_T) or most < 1 or temperature < 0:
        raise ModelingError(
            "Speculative decoding needs a model with MTP modules, a prompt, a token to generate at least, and a "
            "temperature of 0 or more."
        )
    start = len(prompt_T)
    generator = torch.Generator(prompt_T.device).manual_seed(seed)
    cache = model.new_cache(1, start + most + depths, mtp=True)
    tokens_T = torch.cat((prompt_T, prompt_T.new_zeros(most + depths + 1)))
    logprobs_T = torch.zeros(len(tokens_T), device=prompt_T.device)
    known, kept, guessed, passes = start, 0, 0, 1

    x_1TD = model.hidden(prompt_T[None], cache, torch.arange(start, device=prompt_T.device)[None])
    p_KV = distribution(model.logits(x_1TD[0, -1:]), temperature)
    tokens_T[known] = draw(p_KV[0], _uniform(generator))
    logprobs_T[known] = p_KV[0, tokens_T[known]].log()
    known += 1

    def ended() -> bool:
        return known - start >= most or any(int(token) in stop_ids for token in tokens_T[start:known])

    while not ended():
        # guesses; `x_1TD` are the states of the last tokens before the newest one
        at_1T = torch.arange(known - 1 - x_1TD.shape[1], known - 1, device=prompt_T.device)[None]
        y_1TD, q = x_1TD, []
        for depth in range(depths):
            y_1TD = model.further(depth, y_1TD, tokens_T[at_1T + depth + 1], cache, at_1T)
            q.append(distribution(model.logits(y_1TD[0, -1:]), temperature))
            tokens_T[known + depth] = draw(q[-1][0], _uniform(generator))
        guesses_K = tokens_T[known : known + depths].clone()

        # the model reads them all at once
        read_1T = torch.arange(known - 1, known + depths, device=prompt_T.device)[None]
        z_1TD = model.hidden(tokens_T[read_1T], cache, read_1T)
        p_KV = distribution(model.logits(z_1TD[0]), temperature)
        good, following = check(p_KV, torch.cat(q), guesses_K, generator)
        tokens_T[known + good] = following
        new_K = tokens_T[known : known + good + 1]
        logprobs_T[known : known + good + 1] = p_KV[: good + 1].gather(1, new_K[:, None])[:, 0].log()
        # deeper modules have worked with guesses at the last places: those are given to them once more
        x_1TD = torch.cat((x_1TD, z_1TD[:, : good + 1]), dim=1)[:, -(good + depths) :]
        known, kept, guessed, passes = known + good + 1, kept + good, guessed + depths, passes + 1

    ids_T = tokens_T[start : min(known, start + most)]
    ends = [place for place, token in enumerate(ids_T.tolist()) if token in stop_ids]
    length = ends[0] + 1 if ends else len(ids_T)
    return Generated(ids_T[:length].clone(), logprobs_T[start : start + length].clone(), guessed, kept, passes)


def distribution(logits_KV: Tensor, temperature: float) -> Tensor:
    """(K, V) -> probabilities in fp32; at temperature 0 all of it lies on the largest."""
    if temperature == 0:
        best_K1 = logits_KV.argmax(-1, keepdim=True)
        return torch.zeros_like(logits_KV, dtype=torch.float32).scatter_(1, best_K1, 1.0)
    return (logits_KV.float() / temperature).softmax(-1)


def draw(p_V: Tensor, uniform: Tensor) -> Tensor:
    """One token from weights (V,), which need not sum to 1, by a number in [0, 1): shape (), int64."""
    sums_V = p_V.double().cumsum(0)
    # `right`: a token of weight 0 is never drawn, not even by 0.0; the last one with weight bounds the sums' rounding
    return torch.searchsorted(sums_V, uniform * sums_V[-1], right=True).clamp_max(int(p_V.nonzero()[-1]))


def check(p_KV: Tensor, q_KV: Tensor, guesses_K: Tensor, generator: torch.Generator) -> tuple[int, Tensor]:
    """How many of K guesses hold, and the token after them.

    `p_KV` (K + 1, V) are the model's distributions at the guesses and after the last; `q_KV` (K, V) those that the
    guesses were drawn from. A guess g holds with probability min(1, p(g) / q(g)); at the first that does not, the
    token is drawn from max(0, p - q); when all hold, from the model's distribution after the last.
    """
    for place, guess in enumerate(guesses_K):
        p_V, q_V = p_KV[place], q_KV[place]
        if _uniform(generator) * q_V[guess] >= p_V[guess]:
            rest_V = (p_V - q_V).clamp_min(0)
            return place, draw(rest_V if rest_V.sum() > 0 else p_V, _uniform(generator))
    return len(guesses_K), draw(p_KV[-1], _uniform(generator))


def _uniform(generator: torch.Generator) -> Tensor:
    return torch.rand((), generator=generator, dtype=torch.float64, device=generator.device)
