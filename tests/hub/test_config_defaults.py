"""What a configuration leaves out means what `transformers` means by it."""

from __future__ import annotations

import pytest

from clearseek.audit.hf_config import FAMILIES
from clearseek.hub.hf_config import completed

ENTRIES = (
    "num_key_value_heads", "head_dim", "max_position_embeddings", "tie_word_embeddings", "attention_bias", "mlp_bias",
)  # fmt: skip


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "kimi_k2"])
def test_a_missing_entry_means_the_default_of_its_family(family: str) -> None:
    transformers = pytest.importorskip("transformers")
    given = {"model_type": family, "hidden_size": 3072, "num_attention_heads": 48}
    theirs = transformers.AutoConfig.for_model(**given)
    ours = completed(given)
    for entry in ENTRIES:
        meant = getattr(theirs, entry, None)
        if meant is None or (family.startswith("deepseek") and entry in ("head_dim", "num_key_value_heads")):
            continue  # in MLA both say something else, and nobody reads them
        if family in ("qwen2", "qwen2_moe") and entry == "attention_bias":
            continue  # no entry of theirs: the biases are always there
        assert ours[entry] == meant, entry


def test_what_is_said_stays_and_what_cannot_be_known_is_missing() -> None:
    said = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "head_dim": 7, "mlp_bias": "x"}
    assert completed(said)["head_dim"] == 7
    assert completed(said)["mlp_bias"] == "x"
    assert completed({"model_type": "qwen2", "attention_bias": False})["attention_bias"] is True
    mistral = {"model_type": "mistral", "hidden_size": 64, "num_attention_heads": 4}
    assert completed(mistral)["num_key_value_heads"] == 8
    assert completed({**mistral, "num_key_value_heads": None})["num_key_value_heads"] == 4, "as transformers takes null"
    for odd in ({}, {"model_type": 7}, {"hidden_size": "x", "num_attention_heads": 0}):
        assert "head_dim" not in completed(odd)
