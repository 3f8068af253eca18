"""A run that begins as an earlier run's adapter: the same model, learned on from, with that run's receipt as parent."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("reasoning_gym")

from tiny_run import CONFIG, SFT, recipe_text, tiny_tokenizer  # noqa: E402
from tiny_run import OWN_TASK as TASK  # noqa: E402

from clearseek.errors import UsageError, UserError  # noqa: E402
from clearseek.hub.receipt_files import receipt_files_of  # noqa: E402
from clearseek.ledger.meter import Meter  # noqa: E402
from clearseek.modeling import load_model  # noqa: E402
from clearseek.modeling.export_gguf import export_gguf  # noqa: E402
from clearseek.modeling.llama import Llama  # noqa: E402
from clearseek.modeling.lora import lora_layers, remove_lora  # noqa: E402
from clearseek.receipts import verify  # noqa: E402
from clearseek.training.publish.replay import replay  # noqa: E402
from clearseek.training.recipe.parsing import read_recipe  # noqa: E402
from clearseek.training.report.console import Screen  # noqa: E402
from clearseek.training.run.context import open_context  # noqa: E402
from clearseek.training.stages.rejection import base_model  # noqa: E402
from clearseek.training.train import train  # noqa: E402

AGAIN = SFT.replace('"start"', '"more"').replace("steps = 5", "steps = 2")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over a GGUF."""
    place = tmp_path_factory.mktemp("earlier")
    torch.manual_seed(0)
    model = Llama(dataclasses.replace(CONFIG, intermediate_size=64))
    export_gguf(model, place / "base.gguf", "q8_0", tokenizer=tiny_tokenizer(), name="tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLEARSEEK_HOME", str(place / "home"))
        train(read_recipe(recipe_in(place, place / "base.gguf", SFT)), place / "run", Screen(quiet=True))
    return place / "run"


def recipe_in(folder: Path, base: Path, stages: str, **more: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "own.py").write_text(TASK)
    (folder / "recipe.toml").write_text(recipe_text(base, stages, **more))
    return folder / "recipe.toml"


def later(folder: Path, earlier: Path, said: str | None = None) -> Path:
    return recipe_in(folder, earlier.parent / "base.gguf", AGAIN, extra=f'adapter = "{said or earlier}"')


@pytest.mark.slow
def test_it_begins_as_the_earlier_model_and_its_receipt_names_the_earlier_one(earlier: Path, tmp_path: Path) -> None:
    recipe = read_recipe(later(tmp_path / "work", earlier))
    bench = open_context(recipe, tmp_path, Meter(lambda draft: None), lambda text: None)
    ids = torch.arange(5, 45).reshape(1, -1)
    model = bench.stage_context.learner.model
    merging = copy.deepcopy(model)
    remove_lora(merging, merge=True)
    with torch.no_grad():
        mine = merging(ids)
        theirs, base = load_model(earlier / "model.gguf")(ids), load_model(earlier.parent / "base.gguf")(ids)
    apart, learned = (mine - theirs).norm(), (theirs - base).norm()
    assert apart < 0.25 * learned  # what is left is Q8_0's rounding, of weights that have moved little
    for layer in lora_layers(model).values():  # sized as LoRA's begin, so that rates mean what they mean there
        assert torch.allclose(layer.lora_A.pow(2).mean(1).sqrt(), torch.tensor(layer.in_features**-0.5), rtol=1e-5)
    run = tmp_path / "later"
    train(recipe, run, Screen(quiet=True))
    assert (run / "checkpoints" / "step-000000").is_dir()
    with torch.no_grad():
        own = base_model(dataclasses.replace(bench.stage_context, folder=run))(ids)
    assert (own - base).norm() < 1e-3 * learned  # the base itself, not what it began as
    verified = verify(run)
    assert verified.ok, verified.failed
    assert verified.statement is not None
    told = verified.statement["predicate"]
    record = json.loads((earlier / "adapter" / "adapter.json").read_text())
    assert told["base"]["adapter"]["digest"]["sha256"] == record["weights"]["sha256"]
    assert [one["name"] for one in told["parents"]] == ["tiny"]
    assert {one.state for one in verified.checks if one.name == "parents"} == {"ok"}
    moved = tmp_path / "elsewhere" / "run"  # the run alone, without the earlier one
    shutil.copytree(run, moved)
    assert verify(moved).ok
    assert read_recipe(moved).fingerprint == recipe.fingerprint
    done = replay(moved, 1, 0, lambda text: None)
    assert done.ok
    last = tmp_path / "last"  # and once more: it carries the receipts of all that went before it
    train(read_recipe(later(tmp_path / "again", earlier, str(run))), last, Screen(quiet=True))
    names = sorted(path.name for path in (last / "parents").glob("*.json"))
    assert [name.partition("-")[0] for name in names] == ["tiny", "tiny.json"]
    moved = tmp_path / "alone" / "run"
    shutil.copytree(last, moved)
    shutil.rmtree(run)
    checked = verify(moved)
    assert checked.ok, checked.failed
    assert {one.state for one in checked.checks if one.name == "parents"} == {"ok"}
    # with the books of all that went before: what a model store and the package have of it can be checked as well
    books = ("ledger.jsonl", "recipe.toml", "evaluations/test-after.json")
    carried = [f"parents/{name.removesuffix('.json')}/{book}" for name in names for book in books]
    assert set(carried) <= set(receipt_files_of(moved))
    seen = {file for one in checked.checks if one.name == "parents" for file in one.files}
    assert len([file for file in seen if file.endswith("/ledger.jsonl")]) == 1  # both runs are called tiny
    assert checked.missing(["parents"]) == []
    ledger = moved / "parents" / "tiny" / "ledger.jsonl"
    content = ledger.read_bytes()
    ledger.write_bytes(content[:-1])
    assert [one.name for one in verify(moved).failed] == ["parents"]
    ledger.unlink()
    assert verify(moved).missing(["parents"]) == ["parents"]
    ledger.write_bytes(content)
    shutil.copyfile(moved / "parents" / "tiny.json", moved / "parents" / names[0])
    told = [one for one in verify(moved).checks if one.name == "parents" and one.state == "not checked"]
    assert [one.field for one in told] == ["predicate.parents[0].parents[0].digest.sha256"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("rank", "has rank 2"),
        ("base", "belongs on"),
        ("name", "There is no adapter"),
        ("weights", "it was changed"),
        ("targets", "other layers"),
    ],
)
@pytest.mark.slow
def test_an_adapter_that_does_not_fit_is_refused_in_one_sentence(
    earlier: Path, tmp_path: Path, change: str, sentence: str
) -> None:
    path = later(tmp_path / "work", earlier, "nowhere" if change == "name" else None)
    text = path.read_text()
    if change == "rank":
        text = text.replace("rank = 2", "rank = 4")
    if change == "targets":
        text = text.replace("rank = 2", 'rank = 2\ntargets = ["q_proj"]')
    if change == "base":
        other = tmp_path / "other.gguf"
        torch.manual_seed(1)
        model = Llama(dataclasses.replace(CONFIG, intermediate_size=64))
        export_gguf(model, other, "q8_0", tokenizer=tiny_tokenizer(), name="other")
        text = text.replace(str(earlier.parent / "base.gguf"), str(other))
    if change == "weights":
        shutil.copytree(earlier / "adapter", tmp_path / "adapter")
        weights = tmp_path / "adapter" / "adapter.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
        text = text.replace(f'adapter = "{earlier}"', f'adapter = "{tmp_path / "adapter"}"')
    path.write_text(text)
    with pytest.raises(UserError, match=sentence) as found:
        open_context(read_recipe(path), tmp_path, Meter(lambda draft: None), lambda text: None)
    assert str(found.value).count("\n") == 0


def test_it_needs_lora_and_a_base(tmp_path: Path) -> None:
    path = recipe_in(tmp_path / "work", tmp_path, SFT, extra='adapter = "x"')
    path.write_text(path.read_text().replace("[lora]\nrank = 2\nalpha = 4.0", "[full]"))
    with pytest.raises(UsageError, match="needs both"):
        read_recipe(path)
