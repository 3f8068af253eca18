"""The dense family against `transformers`: the same weights, the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from families import FAMILIES, hf_config, in_type, reference  # noqa: E402
from llama_child import llama_cpp  # noqa: E402

from clearseek.hub.model import Model  # noqa: E402
from clearseek.modeling import load_model  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.export_gguf import export_gguf  # noqa: E402
from clearseek.modeling.hf_config import config_from_hf  # noqa: E402
from clearseek.modeling.llama import LONG, Llama  # noqa: E402
from clearseek.modeling.tokenizer_files import load_tokenizer  # noqa: E402

ROOT = Path(__file__).parent.parent.parent


def both(name: str) -> tuple[torch.nn.Module, Llama]:
    theirs = reference(name)
    ours = Llama(config_from_hf(theirs.config.to_dict()))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours.eval()


def some_ids(rows: int, tokens: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 320, (rows, tokens), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_transformers(name: str) -> None:
    theirs, ours = both(name)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    ids_BT = some_ids(2, 200)  # beyond the first context of the stretched ones
    with torch.no_grad():
        expected, found = theirs(ids_BT).logits, ours(ids_BT)
    assert expected.abs().max() > 1
    assert (expected - found).abs().max() <= 1e-4


@pytest.mark.parametrize("name", FAMILIES)
def test_bfloat16_agrees_with_transformers(name: str) -> None:
    theirs, ours = both(name)
    ids_BT = some_ids(4, 250)
    with torch.no_grad():
        truth = theirs(ids_BT).logits
        theirs, ours = in_type(theirs, torch.bfloat16), ours.bfloat16()
        expected, found = theirs(ids_BT).logits.float(), ours(ids_BT).float()
    assert (expected.argmax(-1) == found.argmax(-1)).float().mean() >= 0.99
    assert (found - truth).abs().mean() <= 1.05 * (expected - truth).abs().mean()
    assert (expected.log_softmax(-1) - found.log_softmax(-1)).abs().mean() < 1e-3


@pytest.mark.parametrize("name", ["llama-biases", "qwen2", "qwen3"])
def test_gradients_are_those_of_transformers(name: str) -> None:
    theirs, ours = both(name)
    ids_BT = some_ids(2, 40)
    for logits_BTV in (theirs(ids_BT).logits, ours(ids_BT)):
        torch.nn.functional.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), ids_BT[:, 1:].flatten()).backward()
    found = {key: parameter.grad for key, parameter in ours.named_parameters()}
    expected = {key: parameter.grad for key, parameter in theirs.named_parameters()}
    assert found.keys() == expected.keys()
    for key in found:
        torch.testing.assert_close(found[key], expected[key], rtol=1e-4, atol=1e-6, msg=key)


@pytest.mark.parametrize("name", ["llama-3", "qwen3"])
def test_with_a_cache_the_numbers_are_the_same(name: str) -> None:
    _, ours = both(name)
    ids_BT = some_ids(2, 90)
    cache = ours.new_cache(2, 90)
    with torch.no_grad():
        whole = ours(ids_BT)
        parts = [ours(ids_BT[:, :50], cache)] + [ours(ids_BT[:, at : at + 1], cache) for at in range(50, 90)]
    assert cache.filled == 90
    assert (torch.cat(parts, 1) - whole).abs().max() <= 1e-4


def test_rows_of_a_cache_may_be_at_different_positions_and_padding_does_no_harm() -> None:
    _, ours = both("smollm2")
    long_T, short_T = some_ids(1, 30, 2)[0], some_ids(1, 12, 3)[0]
    prompts_BT = torch.zeros(2, 20, dtype=torch.long)
    prompts_BT[0], prompts_BT[1, :5] = long_T[:20], short_T[:5]
    cache = ours.new_cache(2, 32)
    with torch.no_grad():
        ours.hidden(prompts_BT, cache, torch.arange(20).expand(2, 20))
        for step in range(7):
            ids_BT = torch.stack([long_T[20 + step], short_T[5 + step]])[:, None]
            logits_BTV = ours(ids_BT, cache, torch.tensor([[20 + step], [5 + step]]))
        for row, whole_T in enumerate((long_T[:27], short_T)):
            assert (logits_BTV[row, 0] - ours(whole_T[None])[0, -1]).abs().max() <= 1e-4


def test_a_mask_keeps_packed_texts_apart() -> None:
    _, ours = both("llama-2")
    first_T, second_T = some_ids(1, 9, 6)[0], some_ids(1, 7, 7)[0]
    text_T = torch.tensor([0] * 9 + [1] * 7)
    mask = (text_T[:, None] == text_T) & torch.ones(16, 16, dtype=torch.bool).tril()
    positions_BT = torch.cat((torch.arange(9), torch.arange(7)))[None]
    with torch.no_grad():
        packed = ours.logits(ours.hidden(torch.cat((first_T, second_T))[None], None, positions_BT, mask[None, None]))
        assert (packed[0, :9] - ours(first_T[None])[0]).abs().max() <= 1e-4
        assert (packed[0, 9:] - ours(second_T[None])[0]).abs().max() <= 1e-4


def test_long_texts_take_another_road_to_the_same_place() -> None:
    _, ours = both("llama-3")
    ids_BT = some_ids(1, LONG + 40)
    cache = ours.new_cache(1, LONG + 40)
    with torch.no_grad():
        whole = ours(ids_BT)
        ours.hidden(ids_BT[:, :LONG], cache)
        rest = ours(ids_BT[:, LONG:], cache)
    assert (whole[:, LONG:] - rest).abs().max() <= 1e-4


def test_a_cache_that_is_full_says_so() -> None:
    ours = Llama(config_from_hf(hf_config("smollm2")))
    cache = ours.new_cache(2, 8)
    with pytest.raises(ModelingError, match="holds 8 tokens a row, and 9 are asked"):
        ours(some_ids(2, 9), cache)
    assert cache.filled == 0
    with pytest.raises(ModelingError, match="holds 8 tokens a row, and 9 are asked"):
        ours(some_ids(2, 1), cache, torch.tensor([[3], [8]]))
    with pytest.raises(ModelingError, match="has 2 rows, and 3 came"):
        ours(some_ids(3, 1), cache)


def test_a_model_without_memory_has_the_published_names() -> None:
    config = config_from_hf({**hf_config("qwen3"), "hidden_size": 4096, "num_hidden_layers": 36})
    with torch.device("meta"):
        model = Llama(config)
    names = model.state_dict()
    assert "model.layers.35.self_attn.q_norm.weight" in names
    assert "lm_head.weight" in names
    assert all(tensor.is_meta for tensor in names.values())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "mistral"}, "'mistral' is not supported"),
        ({"model_type": "qwen2_moe"}, "nearest one that is: `qwen2`"),
        ({"model_type": None}, "does not say what architecture"),
        ({"num_key_value_heads": 3}, "cannot share 3"),
        ({"hidden_size": -1}, "hidden_size = -1"),
        ({"hidden_size": 1 << 40}, "hidden_size"),
        ({"num_hidden_layers": "many"}, "num_hidden_layers = 'many'"),
        ({"vocab_size": None}, "does not say `vocab_size`"),
        ({"hidden_act": "gelu"}, "only SiLU"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "'longrope' is not supported"),
        ({"rope_scaling": {"rope_type": "linear", "factor": float("nan")}}, "factor = nan"),
        ({"use_sliding_window": True}, "sliding window"),
        ({"head_dim": 15}, "even width"),
    ],
)
def test_a_configuration_that_makes_no_model_is_told(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ModelingError, match=sentence):
        config_from_hf({**hf_config("smollm2"), **change})


@pytest.mark.parametrize("name", FAMILIES)
def test_a_configuration_comes_back_as_it_was(name: str) -> None:
    config = config_from_hf({**hf_config(name), "bos_token_id": 1, "eos_token_id": [2, 3]})
    assert config_from_hf(config.to_hf()) == config


@pytest.mark.slow
@pytest.mark.parametrize(("exact", "agreement", "apart"), [(False, 0.92, 0.12), (True, 0.98, 0.01)])
def test_smollm2_is_what_llama_cpp_makes_of_the_same_file(
    exact: bool, agreement: float, apart: float, real_model: Model, tmp_path: Path
) -> None:
    """Every next token of a page of text: the same choice, and log-probabilities as near as llama.cpp's rounding lets.

    It rounds what it multiplies with Q8_0 weights to 8 bits; written as float32, the same weights show what is left
    without that. `bench/against_llamacpp.py` does this over 2,000 tokens.
    """
    path = real_model.path
    words, ours = load_tokenizer(path), load_model(path)
    if exact:
        path = export_gguf(ours, tmp_path / "f32.gguf", "f32", base=path)
    ids = words.encode((ROOT / "docs" / "architecture.md").read_text("utf-8"))[:200]
    with torch.no_grad():
        ours_TV = ours(torch.tensor([ids]))[0].log_softmax(-1)
    same, differences = 0, []
    with llama_cpp(path, context=256) as server:
        for at in range(1, len(ids)):
            theirs = server.next_logprobs(ids[:at], 20)
            same += max(theirs, key=lambda token: theirs[token]) == int(ours_TV[at - 1].argmax())
            differences += [abs(value - ours_TV[at - 1, token].item()) for token, value in theirs.items()]
    assert same / (len(ids) - 1) >= agreement
    assert sum(differences) / len(differences) < apart
