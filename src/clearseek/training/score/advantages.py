"""What each sample is worth: its advantage over its group, and the weight of its tokens in the loss.

Letters: A all completion tokens of the batch (groups, their completions, their tokens), R completions of the batch,
P prompts, S samples of a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clearseek.modeling.errors import ModelingError
from clearseek.training.recipe.grpo_settings import Normalise


def group_advantages(rewards_PS: Tensor, *, divide_by_std: bool) -> Tensor:
    """How much better than its group each sample did, (P, S) float32.

    GRPO (DeepSeekMath, arXiv 2402.03300, section 4.1.2): (r - mean) / std, over the group; the standard deviation is
    that of the S samples as a population. Dr. GRPO (arXiv 2503.20783, section 3.2) does not divide, because dividing
    gives questions that are nearly always or nearly never solved more weight than others. Groups whose rewards are all
    equal get 0.
    """
    rewards_PS = rewards_PS.float()
    centred_PS = rewards_PS - rewards_PS.mean(dim=1, keepdim=True)
    equal_P1 = (rewards_PS == rewards_PS[:, :1]).all(dim=1, keepdim=True)
    if divide_by_std:
        centred_PS = centred_PS / rewards_PS.std(dim=1, correction=0, keepdim=True).clamp_min(1e-6)
    return centred_PS.masked_fill(equal_P1, 0.0)


def token_weights(lengths: Sequence[int], how: Normalise, *, samples: int, length: float) -> Tensor:
    """The weight of each of the A = sum(lengths) tokens in the loss, float32.

    `constant`: 1 / (samples x length), whatever was generated: a token counts the same in every step, and a step in
    which few groups teach moves the weights little (Dr. GRPO, arXiv 2503.20783, section 3.2). `samples` are all that
    were drawn, those that are not trained on included. `tokens`: 1 / A, the mean over the tokens (DAPO,
    arXiv 2503.14476, section 3.3). `sequence`: 1 / (samples x own length), the mean over samples of their means
    (GRPO, arXiv 2402.03300, equation 3).
    """
    if how == "constant":
        if samples < 1 or not length > 0:
            raise ModelingError("A constant normaliser needs at least one sample and a positive length.")
        return torch.full((sum(lengths),), 1.0 / (samples * length))
    if how == "tokens":
        return torch.full((sum(lengths),), 1.0 / max(1, sum(lengths)))
    lengths_R = torch.tensor(lengths, dtype=torch.float32)
    return torch.repeat_interleave(1.0 / (samples * lengths_R), torch.tensor(lengths))


def per_token(values_R: Tensor, lengths: Sequence[int]) -> Tensor:
    """One value for each completion -> one for each of its tokens, (A,)."""
    return torch.repeat_interleave(values_R, torch.tensor(lengths, device=values_R.device))
