"""What a transformer is made of, as far as its parameters and its FLOPs depend on it.

One frozen dataclass for dense and mixture-of-experts models, with grouped-query or multi-head latent attention (MLA),
sliding windows and multi-token prediction (MTP). Described in a TOML file (`data/architectures/`), or read from a
Hugging Face `config.json` by `hf_config.py`.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

from clearseek.errors import UsageError

MAX_FILE = 1_000_000
"""Bytes of a description or a config: a larger one is something else."""
_MOST = 10**12


@dataclass(frozen=True)
class Architecture:
    """Sizes in numbers of elements. `heads * head_dim` need not be `width`.

    MLA is in use where `kv_rank` is not 0: then `head_dim` is the part of a query or key head without rotary
    positions ("nope"), `rope_dim` the part with them, `value_dim` the size of a value head, and `q_rank` 0 means that
    queries are projected directly. A model is a mixture of experts where `routed_experts` is not 0: the first
    `dense_layers` layers are dense with `ffn`, and of the rest every `moe_every`-th one has experts of `expert_ffn`.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    gated: bool = True
    """Three matrices in a feed-forward block (SwiGLU and its kin), else two."""
    tied: bool = False
    """The output head shares the embedding's matrix."""
    q_rank: int = 0
    kv_rank: int = 0
    rope_dim: int = 0
    value_dim: int = 0
    routed_experts: int = 0
    active_experts: int = 0
    shared_experts: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0
    """Width of one shared expert; 0: as a routed one."""
    shared_gate: bool = False
    dense_layers: int = 0
    moe_every: int = 1
    router_bias: bool = False
    expert_bias: bool = False
    node_limit: int = 0
    """A token's experts lie on at most this many nodes; 0: no such limit."""
    mtp_depth: int = 0
    """Layers that predict tokens further ahead while training, thrown away afterwards."""
    window: int = 0
    windowed_layers: int = 0
    """So many layers see only the last `window` tokens."""
    qkv_bias: bool = False
    output_bias: bool = False
    ffn_bias: bool = False
    qk_norm: str = ""
    """"head": a norm over each head's queries and keys; "whole": over all of them together."""
    norms: int = 2
    """Norms of width `width` a layer, and one at the end."""
    norm_bias: bool = False
    positions: int = 0
    """Learned positions."""
    sinks: bool = False
    name: str = ""
    source: str = ""

    @property
    def mla(self) -> bool:
        return self.kv_rank > 0

    @property
    def moe_layers(self) -> int:
        return (self.layers - self.dense_layers) // self.moe_every if self.routed_experts else 0

    @property
    def query_key_dim(self) -> int:
        return self.head_dim + (self.rope_dim if self.mla else 0)

    @property
    def output_dim(self) -> int:
        return self.value_dim if self.mla else self.head_dim


_FIELDS = {field.name: field.type for field in fields(Architecture)}
_NEEDED = ("vocabulary", "width", "layers", "heads", "kv_heads", "head_dim")


def architecture(values: dict[str, Any], where: str) -> Architecture:
    """A checked description. Raises UsageError in one sentence for anything that cannot be one."""
    for key, value in values.items():
        if key not in _FIELDS:
            near = difflib.get_close_matches(key, _FIELDS, n=1)
            raise UsageError(f"{where}: there is no `{key}`" + (f"; did you mean `{near[0]}`?" if near else "."))
        if _FIELDS[key] == "int" and (isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST):
            raise UsageError(f"{where}: `{key}` must be a whole number, not {value!r}.")
        if _FIELDS[key] == "bool" and not isinstance(value, bool):
            raise UsageError(f"{where}: `{key}` must be true or false, not {value!r}.")
        if _FIELDS[key] == "str" and not isinstance(value, str):
            raise UsageError(f"{where}: `{key}` must be text, not {value!r}.")
    missing = [key for key in _NEEDED if not values.get(key)]
    if missing:
        raise UsageError(f"{where}: `{missing[0]}` is needed to count parameters, and must be at least 1.")
    made = Architecture(**{"ffn": 0, **values})
    if made.active_experts > made.routed_experts:
        raise UsageError(f"{where}: {made.active_experts} active experts of {made.routed_experts} cannot be.")
    if made.routed_experts and not (made.active_experts and made.expert_ffn and made.moe_every):
        raise UsageError(f"{where}: experts need `active_experts`, `expert_ffn` and `moe_every` above 0.")
    if made.moe_layers < made.layers and not made.ffn:
        raise UsageError(f"{where}: its dense layers need `ffn`, the width of their feed-forward blocks.")
    if made.mla and not made.value_dim:
        raise UsageError(f"{where}: latent attention needs `value_dim`.")
    if made.dense_layers > made.layers or made.windowed_layers > made.layers:
        raise UsageError(f"{where}: more layers of a kind than layers.")
    return made


@cache
def shipped_names() -> tuple[str, ...]:
    """The architectures that come with ClearSeek."""
    folder = resources.files("clearseek").joinpath("data", "architectures")
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


@cache
def shipped(name: str) -> Architecture:
    """One of them. Raises UsageError, with the near ones, for a name that is not there."""
    if name not in shipped_names():
        near = difflib.get_close_matches(name.lower(), shipped_names(), n=3, cutoff=0.4)
        raise UsageError(
            f"There is no architecture `{name}` here; "
            + (f"near ones are {', '.join(near)}." if near else f"there are {', '.join(shipped_names())}.")
        )
    text = resources.files("clearseek").joinpath("data", "architectures", f"{name}.toml").read_text("utf-8")
    return architecture({"name": name, **tomllib.loads(text)}, f"{name}.toml")
