"""The end of a run: every form is the same model, and the receipt is about what is served."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from clearseek.errors import UserError  # noqa: E402
from clearseek.hub.adapter import AdapterBase, read_adapter  # noqa: E402
from clearseek.hub.assemble import assemble  # noqa: E402
from clearseek.hub.errors import HubError  # noqa: E402
from clearseek.hub.gguf_file import read_header  # noqa: E402
from clearseek.hub.store import Store  # noqa: E402
from clearseek.ledger.book import Book  # noqa: E402
from clearseek.ledger.meter import Meter  # noqa: E402
from clearseek.ledger.prices import Rates  # noqa: E402
from clearseek.ledger.quantity import declared, measured  # noqa: E402
from clearseek.modeling import load_model  # noqa: E402
from clearseek.modeling.config import LlamaConfig  # noqa: E402
from clearseek.modeling.errors import ModelingError  # noqa: E402
from clearseek.modeling.export_gguf import export_gguf  # noqa: E402
from clearseek.modeling.export_hf import export_hf  # noqa: E402
from clearseek.modeling.export_lora import load_peft  # noqa: E402
from clearseek.modeling.gguf_weights import pairs_together  # noqa: E402
from clearseek.modeling.llama import Llama  # noqa: E402
from clearseek.modeling.lora import lora_layers, remove_lora  # noqa: E402
from clearseek.modeling.tokenizer import Tokenizer  # noqa: E402
from clearseek.receipts.origin import ReceiptCard, proof_of  # noqa: E402
from clearseek.receipts.verify import verify  # noqa: E402
from clearseek.settings import home  # noqa: E402
from clearseek.training.data.chat_format import ChatFormat, chat_format  # noqa: E402
from clearseek.training.publish.publish import Published, describe_base, export_run, publish, register_model  # noqa: E402
from clearseek.training.recipe.learner_settings import LearnerSettings  # noqa: E402
from clearseek.training.stages.base import StageContext  # noqa: E402
from clearseek.training.update.adapter_file import coarse, low_rank, rounded, write_adapter  # noqa: E402
from clearseek.training.update.learner import open_learner  # noqa: E402

CONFIG = LlamaConfig(
    model_type="llama", vocab_size=320, hidden_size=64, layers=2, heads=4, kv_heads=2, head_dim=16,
    intermediate_size=96, tie_embeddings=True, max_positions=256,
)  # fmt: skip


def small_tokenizer() -> Tokenizer:
    sys.path.insert(0, str(Path(__file__).parent.parent / "modeling"))
    try:
        from trained_words import train_tokenizer
    finally:
        sys.path.pop(0)
    return train_tokenizer("gpt-2")


def random_model(seed: int = 0) -> Llama:
    torch.manual_seed(seed)
    model = Llama(CONFIG)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "norm" in name else 0.0, 0.1)
    return model.eval()


@dataclass
class Run:
    """A run folder with what a loop leaves there, and a workshop whose model has learned something random."""

    folder: Path
    base: Path
    chat: ChatFormat
    told: list[str] = field(default_factory=list)
    method: str = "lora"

    def stage_context(self) -> StageContext:
        learner = open_learner(
            load_model(self.base),
            LearnerSettings(method=self.method, rank=4, alpha=6.0, dtype="float32"),  # type: ignore[arg-type]
        )
        torch.manual_seed(5)
        with torch.no_grad():
            for name, parameter in learner.trainable().items():
                if self.method == "full":
                    parameter += torch.randn_like(parameter) * 0.02
                elif "lora_B" in name:
                    parameter.normal_(0, 0.03)
        price = Rates(machine_usd_per_hour=declared(0.1, "USD/h", "made up"))
        meter = Meter(Book(self.folder / "ledger.jsonl").append, machine=price)
        with meter.span("sft", run="first", stage="cold-start", attempt="1") as span:
            span.count(prompt_tokens=100)
        return StageContext(learner, self.chat, (), (), meter, 0, self.folder, self.told.append)


def start(tmp_path: Path, method: str = "lora", **recipe: str) -> Run:
    words = small_tokenizer()
    base = tmp_path / "base.gguf"
    export_gguf(random_model(), base, "q8_0", tokenizer=words, name="Tiny base")
    store = Store(home() / "models")
    model = store.import_file(base, "tiny-base")
    run = tmp_path / "run"
    (run / "evaluations").mkdir(parents=True)
    tables = "".join(
        f"{key} = {value}\n" for key, value in {"name": '"first"', "base": '"tiny-base"', **recipe}.items()
    )
    (run / "recipe.toml").write_text(f'{tables}[[stage]]\nkind = "sft"\nname = "cold-start"\n')
    results = {"mean": measured(0.5, "", "test, n=10, greedy; 95% Wilson", 0.4, 0.6).as_json()}
    (run / "evaluations" / "after.json").write_text(json.dumps({"name": "after", "results": results}))
    notes = {
        "base": {"name": "tiny-base", "digest": {"sha256": model.sha256}, "source": model.source},
        "data": [{"name": "sums", "description": "made | up", "license": "Apache-2.0", "distribution": []}],
        "prices": {"machine_usd_per_hour": declared(0.1, "USD/h", "made up").as_json()},
    }
    (run / "run.json").write_text(json.dumps(notes))
    return Run(run, model.path, chat_format(words), method=method)


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.arange(3, 43).reshape(1, -1)).double()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_card_adds_up_the_runs_that_came_before(tmp_path: Path) -> None:
    """As the receipt does: what the last of three runs took is not what the model took."""
    from clearseek.receipts.envelope import read_envelope
    from clearseek.receipts.lineage import lineage_of
    from clearseek.report.figures import say
    from clearseek.settings import model_data
    from clearseek.training.publish.card import Card, card_text

    run = Path(shutil.copytree(model_data() / "clearseek-r1-135m", tmp_path / "run"))
    card = card_text(run, Card("x", None, None, None, None, None))
    lineage = lineage_of(read_envelope((run / "receipt.json").read_bytes()).statement, run / "receipt.json")
    totals = lineage.totals()
    (row,) = (line for line in card.splitlines() if line.startswith("| all runs |"))
    shown = [say(totals[name]) for name in ("wall", "prompt_tokens", "completion_tokens", "flops", "money")]
    assert row == f"| all runs | {' | '.join(shown)} |"
    assert "the 2 earlier runs" in card
    shutil.rmtree(run / "parents")
    alone = card_text(run, Card("x", None, None, None, None, None))
    assert "Not within reach: " in alone
    assert "| all runs | unknown | unknown |" in alone


@pytest.mark.parametrize("rank", [1, 5, 64])
def test_rounded_factors_keep_their_bits_and_no_more(rank: int) -> None:
    torch.manual_seed(rank)
    x = torch.randn(rank, 50) * torch.exp(4 * torch.randn(rank, 50))
    once = coarse(x, rank)
    assert torch.equal(once, once.to(torch.bfloat16).double())
    assert torch.equal(coarse(once, rank), once)
    large = x.abs() > x.abs().max() * 2**-8
    assert (once - x)[large].abs().max() <= x[large].abs().max() * 2**-8
    assert ((once - x).abs() <= x.abs() * 2**-8 + x.abs().max() * 2.0**-20).all()
    assert coarse(torch.zeros(3, 4), 3).eq(0).all()
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ModelingError, match="not numbers"):
            coarse(torch.tensor([[bad]]), 1)


@pytest.mark.parametrize(("kind", "most"), [("bf16", 0.004), ("i8", 0.02)])
def test_rounding_costs_little_and_says_how_much(kind: Any, most: float) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(8, 64), torch.randn(96, 8) * torch.exp(torch.randn(8))
    a[3], b[:, 5] = 0, 0  # what never learned
    made = rounded(a, b, 1 / 3, kind=kind)
    error = (made.delta_OI() - (b @ a).double() / 3).norm() / ((b @ a).double() / 3).norm()
    assert made.error == pytest.approx(float(error), rel=1e-4)
    assert 0 < made.error < most
    assert rounded(a * 0, b).delta_OI().abs().max() == 0
    with pytest.raises(ModelingError, match="not numbers"):
        rounded(a / 0, b, kind=kind)


@pytest.mark.parametrize("kind", ["bf16", "i8"])
@pytest.mark.parametrize("rank", [1, 8, 64])
def test_what_is_stored_is_exact_and_is_what_was_rounded(kind: Any, rank: int, tmp_path: Path) -> None:
    torch.manual_seed(rank)
    a, b = torch.randn(rank, 64) * 1e-3, torch.randn(64, rank) * torch.exp(5 * torch.randn(rank))
    layers = {f"model.layers.0.self_attn.{part}_proj": rounded(a, b, 0.7, kind=kind) for part in ("q", "o")}
    base = AdapterBase("x", "0" * 64, "0" * 64, "keep")
    adapter = write_adapter(tmp_path, "x", base, CONFIG, layers)
    for ours, theirs, heads in (("o", "attn_output", 0), ("q", "attn_q", 4)):
        a_RI, b_OR = adapter.factors(f"blk.0.{theirs}.weight")  # refuses what is not on the grid
        one = layers[f"model.layers.0.self_attn.{ours}_proj"]
        assert (torch.from_numpy(a_RI) == one.a_RI).all()
        assert (torch.from_numpy(b_OR) == (pairs_together(one.b_OR, heads) if heads else one.b_OR)).all()
        order = torch.randperm(rank)
        assert torch.equal(one.b_OR[:, order] @ one.a_RI[order], one.delta_OI())
    size = (tmp_path / "adapter.safetensors").stat().st_size
    assert size < 2 * 128 * rank * (1.1 if kind == "i8" else 2.1) + 1000


@pytest.mark.parametrize("shape", [(96, 64), (64, 96), (64, 64)])
def test_low_rank_is_the_nearest_matrix(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    d = torch.randn(*shape, dtype=torch.float64)
    made = low_rank(d, 7)
    s = torch.linalg.svdvals(d)
    best = float((s[7:].square().sum() / s.square().sum()).sqrt())
    assert best <= made.error < best + 2e-3
    exact = torch.randn(shape[0], 3, dtype=torch.float64) @ torch.randn(3, shape[1], dtype=torch.float64)
    assert low_rank(exact, 7).error < 0.02  # of rank 3: what is asked beyond is nothing
    assert low_rank(torch.zeros(shape), 2).delta_OI().abs().max() == 0
    for bad in (0, 65):
        with pytest.raises(ModelingError, match="no part of rank"):
            low_rank(d, bad)


def test_every_form_of_an_adapter_is_one_model(tmp_path: Path) -> None:
    run = start(tmp_path)
    shop = run.stage_context()
    learned = {name: layer.lora_B.clone() for name, layer in lora_layers(shop.learner.model).items()}
    exact = logits(shop.learner.model)
    done = export_run(run.folder, shop)
    for name, layer in lora_layers(shop.learner.model).items():
        assert torch.equal(layer.lora_B, learned[name])  # the model that learns is left alone
    assert set(done.errors) == set(learned)
    assert max(done.errors.values()) < 0.02
    from_folder = logits(load_model(run.folder / "model"))
    served = logits(load_model(run.folder / "model.gguf"))
    peft = load_model(run.base)
    load_peft(peft, run.folder / "adapter")
    remove_lora(peft, merge=True)
    spread = exact.std()
    assert (logits(peft) - exact).abs().max() < 0.02 * spread
    assert (from_folder - exact).abs().max() < 0.1 * spread
    assert (served - exact).abs().max() < 0.2 * spread
    before = logits(load_model(run.base))
    assert (before - exact).abs().max() > 0.5 * spread
    header = read_header(run.folder / "model.gguf")
    assert header.chat_template == run.chat.template.source
    assert header.text("general.name") == "first"
    assert header.text("clearseek.base.sha256") == sha256(run.base)
    assert header.text("clearseek.adapter.sha256") == sha256(run.folder / "adapter" / "adapter.safetensors")
    assert json.loads((run.folder / "model" / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_the_hub_assembles_the_very_same_bytes(tmp_path: Path) -> None:
    run = start(tmp_path)
    done = export_run(run.folder, run.stage_context())
    adapter = read_adapter(run.folder / "adapter")
    assert adapter.base == describe_base(run.base)
    assert (adapter.base.name, adapter.base.quant) == ("tiny-base", "keep")
    assert assemble(run.base, adapter, tmp_path / "again.gguf") == done.sha256 == adapter.result_sha256
    assert (tmp_path / "again.gguf").read_bytes() == (run.folder / "model.gguf").read_bytes()
    assert (tmp_path / "again.gguf").stat().st_size == adapter.result_bytes


@pytest.mark.slow
def test_transformers_and_peft_read_what_is_written(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    run = start(tmp_path)
    done = export_run(run.folder, run.stage_context())
    ids = torch.arange(3, 43).reshape(1, -1)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(run.folder / "model", dtype=torch.float32).eval()
    with torch.no_grad():
        assert torch.allclose(theirs(ids).logits.double(), logits(load_model(run.folder / "model")), atol=1e-4)
    words = transformers.AutoTokenizer.from_pretrained(run.folder / "model")
    said = words.apply_chat_template([{"role": "user", "content": "hi"}], add_generation_prompt=True, tokenize=False)
    assert said.endswith("<think>\n")
    export_hf(load_model(run.base), tmp_path / "base-folder")
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base-folder", dtype=torch.float32)
    laid = peft.PeftModel.from_pretrained(base, run.folder / "adapter").eval()
    ours = load_model(run.base)
    load_peft(ours, run.folder / "adapter")
    with torch.no_grad():
        assert torch.allclose(laid(ids).logits.double(), logits(ours), atol=1e-4)
    assert done.adapter == run.folder / "adapter"


@pytest.mark.parametrize("method", ["lora", "full"])
def test_llama_cpp_runs_what_is_served(tmp_path: Path, method: str) -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "modeling"))
    try:
        from llama_child import llama_cpp
    finally:
        sys.path.pop(0)
    run = start(tmp_path, method)
    export_run(run.folder, run.stage_context())
    prompt = run.chat.prompt("The quick brown fox")
    with llama_cpp(run.folder / "model.gguf", context=256, threads=1) as server:
        theirs = server.next_logprobs(prompt, 20)
    with torch.no_grad():
        ours = load_model(run.folder / "model.gguf")(torch.tensor([prompt]))[0, -1].log_softmax(-1)
    assert max(abs(ours[token].item() - value) for token, value in theirs.items()) < 0.05


def test_a_run_is_published_with_card_receipt_and_a_place_in_the_store(tmp_path: Path) -> None:
    run = start(tmp_path)
    done = publish(run.folder, run.stage_context(), attempt="1")
    assert done.registered == "first"
    model = Store(home() / "models").find("first")
    assert (model.sha256, model.thinking, model.source) == (done.sha256, "native", "run:first")
    for place in (run.folder, model.path.parent):
        checked = verify(place / "receipt.json")
        assert checked.ok, checked.failed
        said = {check.name for check in checked.checks if check.state == "ok"}
        assert {"weights", "base", "ledger", "recipe", "evaluations"} <= said
    statement = json.loads(json.dumps(verify(run.folder).statement))
    about = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    assert about["model.gguf"] == done.sha256
    assert about["adapter/adapter.safetensors"] == sha256(run.folder / "adapter" / "adapter.safetensors")
    assert {stage["name"] for stage in statement["predicate"]["stages"]} == {"cold-start", "publish"}
    proof = proof_of(model)
    assert isinstance(proof, ReceiptCard)
    assert proof.problems == ()
    card = (run.folder / "card.md").read_text()
    header = card.split("---\n")[1]
    assert 'model_name: "first"' in header
    for words in (
        done.sha256,
        "made \\| up",
        "| mean | 0.500 (0.400 to 0.600) |",
        "| cold-start |",
        "declared",
        "## Limits",
    ):
        assert str(words) in card
    assert (run.folder / "model" / "README.md").read_text() == card
    # again, as after an interruption: the same model under the same name
    again = publish(run.folder, run.stage_context(), attempt="2")
    assert (again.sha256, again.registered) == (done.sha256, "first")
    assert verify(Store(home() / "models").find("first").path.parent / "receipt.json").ok


def test_the_store_exports_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from clearseek.cli.main import run as clearseek

    run = start(tmp_path)
    publish(run.folder, run.stage_context())
    assert clearseek(["models", "export", "first", str(tmp_path / "out"), "--as", "hf"]) == 0
    served = logits(load_model(run.folder / "model.gguf"))
    assert (logits(load_model(tmp_path / "out")) - served).abs().max() < 0.05 * served.std()
    assert clearseek(["models", "export", "first", str(tmp_path / "out"), "--as", "hf"]) == 1
    assert "is there already" in capsys.readouterr().err
    assert clearseek(["models", "export", "first", str(tmp_path / "x"), "--as", "onnx"]) == 2


def test_a_changed_weight_does_not_pass(tmp_path: Path) -> None:
    run = start(tmp_path)
    publish(run.folder, run.stage_context(), register=False)
    assert [one.name for one in Store(home() / "models").list()] == ["tiny-base"]
    with (run.folder / "adapter" / "adapter.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    assert [check.name for check in verify(run.folder).failed] == ["weights"]


def test_a_name_that_is_taken_stays_with_its_owner(tmp_path: Path) -> None:
    run = start(tmp_path, publish='{ model = "smollm2" }')
    done = publish(run.folder, run.stage_context())
    assert done.name == "smollm2"
    assert done.registered == f"smollm2-{str(done.sha256)[:8]}"
    assert any("is taken in the model store" in said for said in run.told)


def test_a_full_run_is_written_whole_or_as_an_adapter_of_a_rank(tmp_path: Path) -> None:
    run = start(tmp_path, "full")
    shop = run.stage_context()
    exact = logits(shop.learner.model)
    whole = export_run(run.folder, shop)
    assert whole.adapter is None
    assert (logits(load_model(run.folder / "model.gguf")) - exact).abs().max() < 0.2 * exact.std()
    assert read_header(run.folder / "model.gguf").chat_template == run.chat.template.source
    first = sha256(run.folder / "model.gguf")
    errors, off = [], []
    for rank in (4, 16, 32):
        part = export_run(run.folder, shop, rank=rank)
        errors.append(sum(part.errors.values()) / len(part.errors))
        off.append(float((logits(load_model(run.folder / "model.gguf")) - exact).square().mean()))
        assert sha256(run.folder / "full.gguf") == first
        adapter = read_adapter(run.folder / "adapter")
        assert "output_norm.weight" in adapter.vectors
        assert len(adapter.pairs) == 14
        assert assemble(run.base, adapter, tmp_path / "again.gguf") == part.sha256
    assert errors[0] > errors[1] > errors[2]
    assert off[0] > off[2], off
    names = dict(load_model(run.folder / "model").named_parameters())
    assert torch.equal(names["model.norm.weight"], shop.learner.model.model.norm.weight)


def test_a_base_that_is_a_folder(tmp_path: Path) -> None:
    run = start(tmp_path)
    folder = export_hf(random_model(), tmp_path / "folder", tokenizer=small_tokenizer())
    done = publish(run.folder, run.stage_context(), base=folder, register=False)
    assert done.adapter is not None
    assert not (done.adapter / "adapter.json").exists()
    assert read_header(run.folder / "model.gguf").chat_template == run.chat.template.source


def test_from_nothing(tmp_path: Path) -> None:
    run = start(tmp_path, "full")
    shop = run.stage_context()
    (run.folder / "recipe.toml").write_text('name = "anew"\n[architecture]\nmodel_type = "llama"\n')
    (run.folder / "run.json").unlink()
    done = export_run(run.folder, shop)
    exact = logits(shop.learner.model)
    assert (logits(load_model(run.folder / "model.gguf")) - exact).abs().max() < 0.2 * exact.std()
    assert read_header(run.folder / "model.gguf").text("general.name") == done.name == "anew"


def test_what_cannot_be_published_is_told(tmp_path: Path) -> None:
    run = start(tmp_path, "full")
    shop = run.stage_context()
    with torch.no_grad():
        shop.learner.model.model.embed_tokens.weight[0] += 1
    with pytest.raises(ModelingError, match="The embedding was trained too"):
        export_run(run.folder, shop, rank=4)
    unchanged = StageContext(open_learner(load_model(run.base)), run.chat, (), (), shop.meter, 0, run.folder, print)
    with pytest.raises(ModelingError, match="No matrix was changed"):
        export_run(run.folder, unchanged, rank=4)
    (run.folder / "recipe.toml").write_text('name = "x"\nbase = "no-such-model"\n')
    with pytest.raises(HubError, match="no-such-model"):
        export_run(run.folder, shop)
    (run.folder / "recipe.toml").unlink()
    with pytest.raises(UserError, match="cannot be read"):
        export_run(run.folder, shop)
    layers = {
        f"model.layers.0.self_attn.{part}_proj": low_rank(torch.randn(64, 64), rank)
        for part, rank in (("q", 2), ("o", 3))
    }
    with pytest.raises(ModelingError, match="one rank"):
        write_adapter(tmp_path / "x", "x", describe_base(run.base), CONFIG, layers)
    assert not (tmp_path / "x").exists()


def test_registering_needs_no_run(tmp_path: Path) -> None:
    run = start(tmp_path)
    file = run.folder / "model.gguf"
    file.write_bytes(run.base.read_bytes())
    done = Published("first", (), file, sha256(file))
    assert register_model(run.folder, done).name == "first"
