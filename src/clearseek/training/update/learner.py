"""A model that learns: gradients over micro-batches, one optimizer step, and a state that can be put back bit for bit.

Weights that learn are float32 whatever is computed in; a step computes in bfloat16 where the machine has units for it
and in float32 elsewhere. Nothing is changed unless the whole gradient is made of numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from clearseek.errors import UserError
from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.lora import add_lora, lora_layers, lora_parameters
from clearseek.training.data.groups import Group
from clearseek.training.kernels.processor import has_bf16_units
from clearseek.training.recipe.learner_settings import ComputeType, LearnerSettings
from clearseek.training.update.allocator import keep_memory
from clearseek.training.update.batch_layout import Piece, check_groups, micro_batches, pack, worker_batches
from clearseek.training.update.fused_linear import Gradients
from clearseek.training.update.log_prob_head import add_head_gradient, score_head
from clearseek.training.update.losses import Loss, TokenLogProbs
from clearseek.training.update.trainers import Trainer, open_trainer
from clearseek.training.update.with_weights import with_weights
from clearseek.training.update.worker_threads import run_in_threads, worker_count


class NotFinite(UserError):
    """A loss or a gradient that is not a number. The weights and the optimizer are as they were before the step."""


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """What one update did. `parts` are the loss's own; `tokens` were computed (a shared prompt counts once), `scored`
    of them were learned from; `grad_norm` is that before clipping."""

    loss: float
    parts: Mapping[str, float]
    grad_norm: float
    tokens: int
    scored: int
    micro_batches: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LogProbs:
    """Of every completion token, in the order of groups, completions and tokens: (A,) float32 each, on the CPU."""

    log_probs_A: Tensor
    entropy_A: Tensor
    lengths: tuple[int, ...] = field(default=())
    """Tokens of each completion, in that order."""

    def split(self) -> list[Tensor]:
        """The log-probabilities of each completion for itself."""
        return list(torch.split(self.log_probs_A, list(self.lengths)))


@dataclass(slots=True)
class _Pass:
    """What one lane adds to an update."""

    loss: float = 0.0
    tokens: int = 0
    parts: dict[str, float] = field(default_factory=dict)


def compute_dtype(wanted: ComputeType, device: torch.device) -> torch.dtype:
    """What to compute in on this machine."""
    if wanted != "auto":
        return torch.bfloat16 if wanted == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if has_bf16_units() else torch.float32


def open_learner(
    model: CausalLM, settings: LearnerSettings | None = None, *, plain: bool = False, compiled: bool = True
) -> Learner:
    """Make a model ready to learn, in place: what learns becomes float32, the rest is frozen.

    With `lora`, adapters are added unless the model has some already. `plain` runs the model's own forward on padded
    rows, which is what happens anyway for architectures without a fast path. `compiled` lets the fast path use C++
    where there is a compiler.
    """
    settings = settings or LearnerSettings()
    if settings.method == "lora":
        if not lora_layers(model):
            add_lora(model, settings.rank, settings.alpha, settings.targets, seed=settings.seed)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for parameter in lora_parameters(model):
            parameter.requires_grad_(True)
    else:
        if lora_layers(model):
            raise ModelingError("This model has adapters; merge or remove them before it learns with every weight.")
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        if not settings.train_embedding:
            model.model.embed_tokens.weight.requires_grad_(False)
            model.lm_head.weight.requires_grad_(False)
    return Learner(model, settings, plain=plain, compiled=compiled)


class Learner:
    """Made by `open_learner`. `model` is the live model, fit for rollouts at any time; `dtype` what is computed in."""

    def __init__(
        self, model: CausalLM, settings: LearnerSettings, *, plain: bool = False, compiled: bool = True
    ) -> None:
        self.model, self.settings = model, settings
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.dtype != torch.float32:
                parameter.data = parameter.data.float()
        self.device = next(iter(model.parameters())).device
        self.dtype = compute_dtype(settings.dtype, self.device)
        if self.device.type == "cpu":
            keep_memory()
        if self.dtype == torch.float32:
            model.float()
        self._open = partial(open_trainer, dtype=self.dtype, plain=plain, compiled=compiled)
        self.trainer = self._open(model)
        self.names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        trainable = self.trainable()
        kinds = [
            {"params": [p for p in trainable.values() if p.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [p for p in trainable.values() if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            [kind for kind in kinds if kind["params"]], lr=0.0, betas=settings.betas, eps=settings.eps, fused=True
        )
        self.updates = 0
        """Optimizer steps done so far."""

    @property
    def rollout_dtype(self) -> torch.dtype | None:
        """What rollouts of this learner are to be computed in, so that they agree with its updates."""
        return self.dtype if self.trainer.shared else None

    def trainable(self) -> dict[str, nn.Parameter]:
        """What learns, by its published name, in the model's order."""
        wanted = set(self.names)
        return {name: parameter for name, parameter in self.model.named_parameters() if name in wanted}

    def update(self, groups: Sequence[Group], loss: Loss, lr: float, *, temperature: float = 1.0) -> UpdateReport:
        """One optimizer step on these groups.

        `loss` is called once for each micro-batch; what it returns is added up. `temperature` is that of the samples:
        log-probabilities are taken under the distribution they were drawn from. Raises NotFinite, and changes nothing,
        for a loss or a gradient that is not a number; ModelingError for groups that do not fit the model.
        """
        if not math.isfinite(lr) or lr < 0:
            raise ModelingError(f"A learning rate is a number that is not negative; got {lr}.")
        check_groups(groups, self.model.config.vocab_size, self.model.config.max_positions)
        started = time.perf_counter()
        self.trainer.refresh()
        self._clear()
        every = sum(group.scored for group in groups)
        lanes = self._lanes(groups)
        count = sum(len(batches) for _, _, batches in lanes)
        try:
            passes = run_in_threads(
                [partial(self._pass, trainer, batches, loss, temperature, every) for trainer, _, batches in lanes]
            )
        except NotFinite:
            self._clear()
            raise
        for _, found, _ in lanes[1:]:  # in their order, so that the sum is the same every time
            self.trainer.gather(found)
        total = sum(pass_.loss for pass_ in passes)
        tokens = sum(pass_.tokens for pass_ in passes)
        parts: dict[str, float] = {}
        for one in passes:
            for name, part in one.parts.items():
                parts[name] = parts.get(name, 0.0) + part
        norm = self._clip()
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.trainer.end_step()
        self.updates += 1
        self._clear()
        seconds = time.perf_counter() - started
        return UpdateReport(total, parts, norm, tokens, every, count, seconds)

    def _lanes(self, groups: Sequence[Group]) -> list[tuple[Trainer, Gradients, list[list[Piece]]]]:
        """Who computes what: trainers, where the gradients of all but the first are kept, and micro-batches."""
        most, lanes = self.settings.micro_batch_tokens, self.trainer.lanes(worker_count(self.device))
        if len(lanes) == 1:
            return [(*lanes[0], micro_batches(groups, most, shared=self.trainer.shared))]
        dealt = worker_batches(groups, most, len(lanes))
        return [(*lane, batches) for lane, batches in zip(lanes, dealt, strict=False)]

    def _pass(
        self, trainer: Trainer, batches: Sequence[Sequence[Piece]], loss: Loss, temperature: float, every: int
    ) -> _Pass:
        """Forwards and backwards over some micro-batches of an update that scores `every` tokens."""
        head = self.model.lm_head.weight
        made = _Pass()
        for number, pieces in enumerate(batches):
            packed = pack(pieces, self.device)
            made.tokens += len(packed.ids_N)
            x_MD = trainer.forward(packed, keep=True)
            scores = score_head(trainer.ops, x_MD, trainer.head(), packed.targets_M, temperature, gradient=True)
            assert scores.pull_MD is not None
            leaf_M = scores.log_probs_M.requires_grad_()
            with torch.enable_grad():
                result = loss(TokenLogProbs(leaf_M, scores.entropy_M, packed.place_M))
            value = float(result.loss.detach())
            if not math.isfinite(value) or not bool(torch.isfinite(scores.log_probs_M).all()):
                where = f"micro-batch {number + 1} of {len(batches)} of update {self.updates + 1}"
                raise NotFinite(f"The loss is not a number in {where}; the weights are as they were before it.")
            (upstream_M,) = torch.autograd.grad(result.loss, leaf_M)
            if head.requires_grad:
                grad_VD = torch.zeros_like(head) if head.grad is None else head.grad
                add_head_gradient(trainer.ops, grad_VD, x_MD, trainer.head(), packed.targets_M, upstream_M, temperature)
                head.grad = grad_VD
            pull_MD = scores.pull_MD.mul_(upstream_M[:, None].to(scores.pull_MD.dtype))
            trainer.backward(pull_MD, len(packed.targets_M) / every)
            made.loss += value
            for name, part in result.parts.items():
                made.parts[name] = made.parts.get(name, 0.0) + float(part)
        return made

    @torch.no_grad()
    def log_probs(
        self, groups: Sequence[Group], *, temperature: float = 1.0, weights: Mapping[str, Tensor] | None = None
    ) -> LogProbs:
        """Log-probability and entropy of every completion token; no gradient, nothing changes.

        With `weights` (from `keep`), under those instead of the present ones: what a KL term refers to. The present
        ones stay where they are, whatever cuts this short; it takes room for one more copy of the layers.
        """
        check_groups(groups, self.model.config.vocab_size, self.model.config.max_positions)
        trainer = self.trainer if weights is None else self._open(with_weights(self.model, weights))
        trainer.refresh()
        every = sum(group.scored for group in groups)
        log_probs_A, entropy_A = torch.empty(every), torch.empty(every)
        for pieces in micro_batches(groups, self.settings.micro_batch_tokens, shared=trainer.shared):
            packed = pack(pieces, self.device)
            x_MD = trainer.forward(packed, keep=False)
            scores = score_head(trainer.ops, x_MD, trainer.head(), packed.targets_M, temperature, gradient=False)
            places = packed.place_M.cpu()
            log_probs_A[places], entropy_A[places] = scores.log_probs_M.cpu(), scores.entropy_M.cpu()
        lengths = tuple(len(completion) for group in groups for completion in group.completions)
        return LogProbs(log_probs_A, entropy_A, lengths)

    def keep(self) -> dict[str, Tensor]:
        """A copy of what learns, as it is now: the reference of a KL term."""
        return {name: parameter.detach().clone() for name, parameter in self.trainable().items()}

    def state(self) -> dict[str, Tensor]:
        """Everything the next update needs: weights that learn, both memories of the optimizer, buffers that move, the
        number of updates. The tensors are the live ones; write them before the next update, or copy them."""
        results: dict[str, Tensor] = {"updates": torch.tensor(self.updates, dtype=torch.int64)}
        for name, parameter in self.trainable().items():
            results[f"weights/{name}"] = parameter.detach()
            for key, value in self.optimizer.state.get(parameter, {}).items():
                results[f"{key}/{name}"] = value
        for name, buffer in self.model.named_buffers():
            results[f"buffers/{name}"] = buffer.detach()
        return results

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave. Raises ModelingError, and changes nothing, where names or shapes differ."""
        trainable = self.trainable()
        buffers = dict(self.model.named_buffers())
        optimized = any(name.startswith("exp_avg/") for name in tensors)
        wanted: dict[str, torch.Size] = {"updates": torch.Size([])}
        for name, parameter in trainable.items():
            wanted[f"weights/{name}"] = parameter.shape
            if optimized:
                wanted |= {f"exp_avg/{name}": parameter.shape, f"exp_avg_sq/{name}": parameter.shape}
                wanted[f"step/{name}"] = torch.Size([])
        wanted |= {f"buffers/{name}": buffer.shape for name, buffer in buffers.items()}
        for name, shape in wanted.items():
            if name not in tensors or tensors[name].shape != shape:
                result = "is missing" if name not in tensors else f"has the shape {tuple(tensors[name].shape)}"
                raise ModelingError(f"This state is of another model or another method: `{name}` {result}.")
        extra = sorted(set(tensors) - set(wanted))
        if extra:
            raise ModelingError(f"This state is of another model or another method: it holds `{extra[0]}`.")
        with torch.no_grad():
            for name, parameter in trainable.items():
                parameter.copy_(tensors[f"weights/{name}"])
                self.optimizer.state.pop(parameter, None)
                if optimized:
                    device = parameter.device
                    self.optimizer.state[parameter] = {
                        "step": tensors[f"step/{name}"].to(device, copy=True),
                        "exp_avg": tensors[f"exp_avg/{name}"].to(device, copy=True),
                        "exp_avg_sq": tensors[f"exp_avg_sq/{name}"].to(device, copy=True),
                    }
            for name, buffer in buffers.items():
                buffer.copy_(tensors[f"buffers/{name}"])
        self.updates = int(tensors["updates"])

    def _clip(self) -> float:
        """The norm of the whole gradient, which is then scaled down to the clip; NotFinite where it is not a number."""
        gradients = {name: p.grad for name, p in self.trainable().items() if p.grad is not None}
        norms = torch.stack(torch._foreach_norm(list(gradients.values())))
        norm = float(norms.double().norm())
        if not math.isfinite(norm):
            bad = next(name for name, one in zip(gradients, norms.tolist(), strict=True) if not math.isfinite(one))
            self._clear()
            raise NotFinite(
                f"The gradient of {bad} is not a number in update {self.updates + 1}; the weights are as they were "
                "before it."
            )
        if self.settings.clip and norm > self.settings.clip:
            torch._foreach_mul_(list(gradients.values()), self.settings.clip / norm)
        return norm

    def _clear(self) -> None:
        """No gradients. Those that are views of a joint matrix stay where they are, to be overwritten."""
        held = self.trainer.held()
        for parameter in self.trainable().values():
            if id(parameter) not in held:
                parameter.grad = None
