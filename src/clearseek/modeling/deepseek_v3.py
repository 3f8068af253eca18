"""DeepSeek-V3 and R1 in plain torch (technical report, arXiv 2412.19437), at any size.

Attribute names are the published parameter names, so that `state_dict()` is the published layout, the modules for
multi-token prediction included: they are the layers after the last, with the embedding and the output matrix of the
model itself under names of their own.

Attention is in `mla.py`, experts in `moe.py`, what the further tokens are good for in `mtp.py`. Letters: B rows, T
tokens, D width, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clearseek.modeling.causal_lm import CausalLM
from clearseek.modeling.deepseek_config import DeepseekV3Config
from clearseek.modeling.errors import ModelingError
from clearseek.modeling.llama import MLP, RMSNorm
from clearseek.modeling.mla import LatentAttention, LatentCache, Past
from clearseek.modeling.moe import MoE, Router, Routing
from clearseek.modeling.rope import Rope


class Layer(nn.Module):
    """Attention, then experts (or one feed-forward in the first layers)."""

    def __init__(self, config: DeepseekV3Config, number: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = LatentAttention(config)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        if number < config.first_dense_layers:
            self.mlp: nn.Module = MLP(config.hidden_size, config.intermediate_size)
        else:
            self.mlp = MoE(config, number)

    def forward(
        self,
        x_BTD: Tensor,
        turns: tuple[Tensor, Tensor],
        mask: Tensor | None,
        past: Past | None,
        routes: list[Routing] | None,
    ) -> Tensor:
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), turns, mask, past)
        y_BTD = self.post_attention_layernorm(x_BTD)
        more_BTD: Tensor = self.mlp(y_BTD, routes) if isinstance(self.mlp, MoE) else self.mlp(y_BTD)
        return x_BTD + more_BTD


class SharedHead(nn.Module):
    """The norm of an MTP module, and the model's own output matrix."""

    def __init__(self, config: DeepseekV3Config, head: nn.Linear) -> None:
        super().__init__()
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.head = head


class MtpLayer(Layer):
    """One module of multi-token prediction (section 2.2): a layer in front of which the state so far and the embedding
    of the next token are joined. `embed_tokens` and `shared_head.head` are the model's own."""

    def __init__(self, config: DeepseekV3Config, number: int, embed: nn.Embedding, head: nn.Linear) -> None:
        super().__init__(config, number)
        self.embed_tokens = embed
        self.enorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.hnorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.eh_proj = nn.Linear(2 * config.hidden_size, config.hidden_size, bias=False)
        self.shared_head = SharedHead(config, head)

    def join(self, x_BTD: Tensor, next_ids_BT: Tensor) -> Tensor:
        """The state at each token and the token after it -> what the layer works on, (B, T, D)."""
        both = (self.enorm(self.embed_tokens(next_ids_BT)), self.hnorm(x_BTD))
        y_BTD: Tensor = self.eh_proj(torch.cat(both, dim=-1))
        return y_BTD


class Trunk(nn.Module):
    """What Hugging Face calls `model`: everything but the output matrix."""

    def __init__(self, config: DeepseekV3Config, head: nn.Linear) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, number) for number in range(config.layers))
        for number in range(config.layers, config.layers + config.mtp_layers):
            self.layers.append(MtpLayer(config, number, self.embed_tokens, head))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class DeepseekV3(CausalLM):
    """A model of DeepSeek-V3's architecture. Weights are random (normal) until they are loaded."""

    config: DeepseekV3Config

    def __init__(self, config: DeepseekV3Config) -> None:
        super().__init__()
        self.config = config
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.model = Trunk(config, self.lm_head)
        self.rope = Rope(config.rope, config.qk_rope_head_dim)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding | Router) and not module.weight.is_meta:
                nn.init.normal_(module.weight, std=config.initializer_range)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.tie()

    def tie(self) -> None:
        if self.config.tie_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(
        self,
        ids_BT: Tensor,
        cache: LatentCache | None = None,
        positions_BT: Tensor | None = None,
        routes: list[Routing] | None = None,
    ) -> Tensor:
        """ids (B, T) int64 -> logits (B, T, V), in the model's own type."""
        return self.logits(self.hidden(ids_BT, cache, positions_BT, routes=routes))

    def hidden(
        self,
        ids_BT: Tensor,
        cache: LatentCache | None = None,
        positions_BT: Tensor | None = None,
        mask: Tensor | None = None,
        routes: list[Routing] | None = None,
    ) -> Tensor:
        """As `CausalLM.hidden`. To `routes`, when given, each MoE layer appends what it decided."""
        x_BTD: Tensor = self.model.embed_tokens(ids_BT)
        if cache is not None and positions_BT is None:
            positions_BT = cache.next_positions(ids_BT.shape[0], ids_BT.shape[1], ids_BT.device)
        x_BTD = self._through(range(self.config.layers), x_BTD, cache, positions_BT, mask, routes)
        y_BTD: Tensor = self.model.norm(x_BTD)
        return y_BTD

    def further(
        self,
        depth: int,
        x_BTD: Tensor,
        next_ids_BT: Tensor,
        cache: LatentCache | None = None,
        positions_BT: Tensor | None = None,
        mask: Tensor | None = None,
        routes: list[Routing] | None = None,
    ) -> Tensor:
        """One token further, by MTP module `depth` (0 is the first): (B, T, D), after its norm, for `logits`.

        `x_BTD` comes from `hidden` (or from `further` of the module before), and `next_ids_BT` are the tokens that
        follow those it was made from (by `depth` + 1). The cache is one with room for MTP (`new_cache(..., mtp=True)`);
        positions must be given with it, and are those of `x_BTD`.
        """
        if not 0 <= depth < self.config.mtp_layers:
            raise ModelingError(f"The model predicts {self.config.mtp_layers} tokens further, and not {depth + 1}.")
        if cache is not None and positions_BT is None:
            raise ModelingError("Multi-token prediction with a cache needs positions.")
        number = self.config.layers + depth
        layer = self.model.layers[number]
        assert isinstance(layer, MtpLayer)
        x_BTD = layer.join(x_BTD, next_ids_BT)
        x_BTD = self._through(range(number, number + 1), x_BTD, cache, positions_BT, mask, routes)
        y_BTD: Tensor = layer.shared_head.norm(x_BTD)
        return y_BTD

    def _through(
        self,
        numbers: range,
        x_BTD: Tensor,
        cache: LatentCache | None,
        positions_BT: Tensor | None,
        mask: Tensor | None,
        routes: list[Routing] | None,
    ) -> Tensor:
        """Through some of the layers, by number."""
        B, T, _ = x_BTD.shape
        reach = T
        if positions_BT is None:
            positions_BT = torch.arange(T, device=x_BTD.device)[None]
        elif cache is not None:
            cache.check_rows(B)
            if numbers.stop > cache.latent_LBSZ.shape[0]:
                raise ModelingError("The cache has no room for multi-token prediction; make it with `mtp=True`.")
            reach = int(positions_BT.max()) + 1
            if reach > cache.length:
                raise ModelingError(f"The cache holds {cache.length} tokens a row, and {reach} are asked of it.")
            if mask is None:
                mask = torch.arange(reach, device=x_BTD.device) <= positions_BT[:, None, :, None]
        turns = (self.rope.interleaved if self.config.rope_interleave else self.rope.half_split)(
            positions_BT, x_BTD.dtype
        )
        for number in numbers:
            past = Past(cache, number, positions_BT, reach) if cache is not None else None
            x_BTD = self.model.layers[number](x_BTD, turns, mask, past, routes)
        return x_BTD

    def logits(self, x_BTD: Tensor) -> Tensor:
        y_BTV: Tensor = self.lm_head(x_BTD)
        return y_BTV

    def new_cache(self, rows: int, length: int, dtype: torch.dtype | None = None, *, mtp: bool = False) -> LatentCache:
        """Room for `length` tokens in each of `rows` rows, in the model's type unless another is named; with `mtp`, for
        the modules of multi-token prediction too."""
        weight, config = self.model.embed_tokens.weight, self.config
        layers = config.layers + (config.mtp_layers if mtp else 0)
        return LatentCache(layers, rows, length, config.latent_size, dtype or weight.dtype, weight.device)
