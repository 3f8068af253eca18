"""The real base with a random small adapter: assembled by a pull, served by llama.cpp, the same model as in torch."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch")

from starlette.testclient import TestClient  # noqa: E402

from clearseek.cli.main import run as clearseek  # noqa: E402
from clearseek.hub.catalogue import catalogue  # noqa: E402
from clearseek.hub.store import Store  # noqa: E402
from clearseek.ledger.book import Book  # noqa: E402
from clearseek.ledger.meter import Meter  # noqa: E402
from clearseek.modeling import load_model  # noqa: E402
from clearseek.modeling.lora import lora_layers  # noqa: E402
from clearseek.receipts.verify import verify  # noqa: E402
from clearseek.server.app import create_app  # noqa: E402
from clearseek.settings import OWN_MODEL, load_settings  # noqa: E402
from clearseek.training.data.chat_format import chat_format_of  # noqa: E402
from clearseek.training.publish.publish import publish  # noqa: E402
from clearseek.training.recipe.learner_settings import LearnerSettings  # noqa: E402
from clearseek.training.stages.base import StageContext  # noqa: E402
from clearseek.training.update.learner import open_learner  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def ship_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ship_model", Path(__file__).parents[2] / "tools" / "ship_model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_smollm2_and_an_adapter_are_the_model_that_was_trained(
    real_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "modeling"))
    try:
        from llama_child import llama_cpp
    finally:
        sys.path.pop(0)
    store = Store(real_home / "models")
    store.remove(OWN_MODEL)  # the one that is shipped: here another is
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
    meter = Meter(Book(run / "ledger.jsonl").append)
    base_said = {"name": base.name, "digest": {"sha256": base.sha256}, "source": base.source}
    (run / "run.json").write_text(json.dumps({"base": base_said}))
    done = publish(run, StageContext(learner, chat, (), (), meter, 0, run, print))
    assert done.registered is not None
    assert done.registered.startswith(f"{OWN_MODEL}-")  # the name itself is the catalogue's
    store.remove(done.registered)
    assert (run / "adapter" / "adapter.safetensors").stat().st_size < 5_000_000

    # shipped in the package: a pull assembles the very same file, and fetches nothing
    package = tmp_path / "package"
    assert ship_tool().ship(run, package) == package / OWN_MODEL
    for module in ("clearseek.settings", "clearseek.hub.catalogue", "clearseek.hub.shipped_adapters"):
        monkeypatch.setattr(f"{module}.model_data", lambda: package)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    record = json.loads((run / "adapter" / "adapter.json").read_text())
    assert record["base"] == {
        "name": base.name, "sha256": base.sha256, "original_sha256": base.original_sha256, "quant": "q8_0",
    }  # fmt: skip
    assert clearseek(["receipt", "verify", str(package / OWN_MODEL / "receipt.json")]) == 0
    capsys.readouterr()
    pulled = Store(real_home / "models", catalogue()).pull("default")
    assert (pulled.name, pulled.sha256) == (OWN_MODEL, done.sha256)
    assert pulled.path.read_bytes() == (run / "model.gguf").read_bytes()

    # its receipt is shown wherever a model's proof is
    checked = verify(pulled.path.parent / "receipt.json")
    assert checked.ok, checked.failed
    assert {"weights", "base", "ledger", "recipe"} <= {check.name for check in checked.checks if check.state == "ok"}
    for command in (["receipt", "verify", OWN_MODEL], ["receipt", "show", OWN_MODEL], ["models", "show", "r1"]):
        assert clearseek(command) == 0
        assert "receipt" in capsys.readouterr().out.lower()
    with TestClient(create_app(load_settings()), base_url="http://127.0.0.1:8420") as client:
        told = client.get(f"/api/models/{OWN_MODEL}/proof").json()
    assert (told["kind"], told["ok"], told["base"]["name"]) == ("receipt", True, base.name)

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
