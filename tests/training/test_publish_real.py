"""The real base with a random small adapter: assembled by a pull, served by llama.cpp, the same model as in torch."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from clearseek.hub.catalogue import catalogue  # noqa: E402
from clearseek.hub.store import Store  # noqa: E402
from clearseek.ledger.meter import Meter  # noqa: E402
from clearseek.modeling import load_model  # noqa: E402
from clearseek.modeling.lora import lora_layers  # noqa: E402
from clearseek.settings import OWN_MODEL  # noqa: E402
from clearseek.training.chat_format import chat_format_of  # noqa: E402
from clearseek.training.learner import LearnerSettings, open_learner  # noqa: E402
from clearseek.training.publish import export_run  # noqa: E402
from clearseek.training.stage import Workshop  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_smollm2_and_an_adapter_are_the_model_that_was_trained(
    real_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "modeling"))
    try:
        from llama_child import llama_cpp
    finally:
        sys.path.pop(0)
    store = Store(real_home / "models")
    base = store.find("smollm2")
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.toml").write_text(f'name = "made-up"\nbase = "smollm2"\npublish = {{ model = "{OWN_MODEL}" }}\n')
    model = load_model(base.path)
    learner = open_learner(model, LearnerSettings(method="lora", rank=8, alpha=16.0, dtype="float32"))
    torch.manual_seed(0)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            layer.lora_B.normal_(0, 0.015)
    chat = chat_format_of(base.path)
    done = export_run(run, Workshop(learner, chat, (), (), Meter(print), 0, run, print))
    assert (run / "adapter" / "adapter.safetensors").stat().st_size < 5_000_000

    # shipped in the package: a pull assembles the very same file, and fetches nothing
    package = tmp_path / "package"
    shutil.copytree(run / "adapter", package / OWN_MODEL)
    for module in ("clearseek.settings", "clearseek.hub.catalogue", "clearseek.hub.own"):
        monkeypatch.setattr(f"{module}.model_data", lambda: package)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    record = json.loads((run / "adapter" / "adapter.json").read_text())
    assert record["base"] == {
        "name": base.name, "sha256": base.sha256, "original_sha256": base.original_sha256, "quant": "q8_0",
    }  # fmt: skip
    pulled = Store(real_home / "models", catalogue()).pull("default")
    assert (pulled.name, pulled.sha256) == (OWN_MODEL, done.sha256)
    assert pulled.path.read_bytes() == (run / "model.gguf").read_bytes()

    # and that file is what was trained, within what 8 bits lose
    questions = ("What is the capital of France?", "Name three colours.", "What is 12 + 30?")
    served, untrained = load_model(pulled.path), load_model(base.path)
    changed = 0.0
    with llama_cpp(pulled.path, context=512) as server, torch.no_grad():
        for question in questions:
            prompt = chat.prompt(question, thinking=False)
            theirs = server.next_logprobs(prompt, 20)
            trained, quantised, before = (
                one(torch.tensor([prompt]))[0, -1].log_softmax(-1) for one in (model, served, untrained)
            )
            likely = [token for token, value in theirs.items() if value > -6]
            assert float((quantised - trained)[likely].abs().max()) < 0.25  # 8 bits a weight
            for ours in (quantised, trained):  # and llama.cpp rounds activations to 8 bits as well
                assert max(abs(ours[token].item() - theirs[token]) for token in likely) < 0.6
            changed = max(changed, float((before - trained)[likely].abs().max()))
            answer = chat.tokenizer.decode(server.greedy(prompt, 24))
            assert len(answer.strip()) > 2
    assert changed > 0.5  # the adapter did something
