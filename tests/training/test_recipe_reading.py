"""Recipes: what is wrong is told with its line and the nearest word; what is read is written back whole."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from clearseek.errors import UsageError, UserError  # noqa: E402
from clearseek.toml_tables import Source, write_toml  # noqa: E402
from clearseek.training.recipe.parsing import parse_recipe, read_recipe, with_budget, write_recipe  # noqa: E402
from clearseek.training.recipe.schema import task_name  # noqa: E402

RECIPES = Path(__file__).parent.parent.parent / "recipes"
GOOD = """
name = "mine"
base = "smollm2-135m-instruct"
suite = "r1"
[[stage]]
kind = "sft"
steps = 10
"""


def read(text: str, tmp_path: Path) -> Any:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return read_recipe(path)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_read_and_written_back_the_same(path: Path) -> None:
    recipe = read_recipe(path)
    text = write_recipe(recipe, "Resolved.")
    again = parse_recipe(tomllib.loads(text), Source("resolved", text), path.parent)
    assert again == recipe
    assert again.fingerprint == recipe.fingerprint
    assert len({stage.name for stage in recipe.stages}) == len(recipe.stages)


def test_what_is_left_out_is_derived_and_written_down(tmp_path: Path) -> None:
    recipe = read(GOOD, tmp_path)
    assert (recipe.seed, recipe.learner.method, recipe.learner.rank) == (1, "lora", 32)
    assert recipe.learner.seed == recipe.seed
    resolved = tomllib.loads(write_recipe(recipe))
    assert resolved["stage"][0]["name"] == "sft"
    assert resolved["stage"][0]["examples"] == 16
    assert resolved["lora"]["betas"] == [0.9, 0.99]
    assert "money" not in str(resolved)
    assert resolved["budget"] == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("suite =", "siute ="), r"line 4: the recipe has no key `siute`; did you mean `suite`\?$"),
        (("steps = 10", "stpes = 10"), r"line 7: \[stage\] has no key `stpes`; did you mean `steps`"),
        (('"sft"', '"sfd"'), r"line 6: there is no kind `sfd`; did you mean `sft`\?$"),
        (('"sft"', '"pretrain"'), r"line 6: stages of kind `pretrain` are not built yet"),
        (('kind = "sft"\n', ""), r"line 5: a stage needs a `kind`"),
        (("steps = 10", 'steps = "ten"'), r"line 7: `steps` must be a whole number\.$"),
        (("steps = 10", "steps = -1"), r"line 7: `steps` of the stage sft is -1, and must be at least 0"),
        (("steps = 10", 'steps = 1\ndecay = "linaer"'), r'line 8: `decay` must be one of .*did you mean "linear"\?$'),
        (("steps = 10", 'steps = 1\nstart = "bsae"'), r'line 8: `start` must be "here" or "base"'),
        (("[[stage]]", "[lora]\nrnak = 3\n[[stage]]"), r"line 6: \[lora\] has no key `rnak`; did you mean `rank`"),
        (("[[stage]]", "[lora]\n[full]\n[[stage]]"), r"both \[lora\] and \[full\]"),
        (("[[stage]]", "[budget]\nminutes = 0\n[[stage]]"), r"line 6: `minutes` of a budget must be above 0"),
        (("[[stage]]", "[budget]\nminuts = 9\n[[stage]]"), r"line 6: .*did you mean `minutes`"),
        (("[[stage]]", '[[tasks]]\ngenerater = "gcd"\n[[stage]]'), r"line 6: .*did you mean `generator`"),
        (("[[stage]]", '[checkpoints]\nkeep = "some"\n[[stage]]'), r"line 6: `keep` must be a whole number or one of"),
        (('base = "smollm2-135m-instruct"\n', ""), r"needs `base`, or \[architecture\]"),
        (('suite = "r1"\n', ""), r"names no problems"),
        (('name = "mine"\n', ""), r"a recipe needs `name`"),
        (("[[stage]]", "[weights]\ngcd = 0\n[[stage]]"), r"line 6: `gcd` must be a number above 0"),
        (('suite = "r1"', '[weights]\ngcd = 2.0\n[[tasks]]\ngenerator = "gcd"'), r"line 4: \[weights\] is for a suite"),
        (('"mine"', '"My Run"'), r"line 2: a recipe's name is made of"),
        (('[[stage]]\nkind = "sft"\nsteps = 10\n', ""), r"has no stages"),
        (('suite = "r1"', 'tasks = ["leg_counting"]'), r"line 4: write a \[\[tasks\]\] table, with two brackets"),
        (('[[stage]]\nkind = "sft"\nsteps = 10\n', 'stage = ["sft"]'), r"has no stages"),
        (("steps = 10", "steps = "), r"is not valid TOML: .*line 7"),
        (("[[stage]]", 'seed = true\n[[stage]]'), r"line 5: `seed` must be a whole number"),
        (("steps = 10", 'steps = 1\nname = "setup"'), r"the name `setup` is taken"),
        (("steps = 10", 'sources = ["glance"]'), r"line 7: no stage before .* `glance`; did you mean `glances`\?$"),
        (("steps = 10", 'sources = ["sft"]'), r"line 7: no stage before this one writes `sft`; there are solutions, "),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    assert change[0] in GOOD
    with pytest.raises(UsageError, match=said):
        read(GOOD.replace(*change), tmp_path)


def test_lines_are_those_of_the_stage_that_is_meant(tmp_path: Path) -> None:
    text = GOOD + '[[stage]]\nkind = "grpo"\nsteps = 3\ntemprature = 1.0\n'
    with pytest.raises(UsageError, match=r"line 11: .*did you mean `temperature`"):
        read(text, tmp_path)


def test_a_recipe_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be read: no such file"):
        read_recipe(tmp_path / "gone.toml")


def test_scale_multiplies_steps_and_is_gone_from_the_resolved_recipe(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(GOOD.replace('suite = "r1"', 'suite = "r1"\nscale = 0.5'))
    assert read_recipe(path).stages[0].settings.steps == 5
    assert read_recipe(path, scale=0.01).stages[0].settings.steps == 1
    assert "scale" not in write_recipe(read_recipe(path))


def test_the_budget_of_the_command_line_comes_before_the_recipes_and_changes_no_fingerprint(tmp_path: Path) -> None:
    recipe = read(GOOD, tmp_path)
    more = with_budget(recipe, 3.0, None)
    assert more.budget.minutes == 3.0
    assert more.fingerprint == recipe.fingerprint
    with pytest.raises(UsageError, match="above 0"):
        with_budget(recipe, -1.0, None)


def test_paths_are_meant_from_the_recipes_folder(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def make(rng, index): ...\n")
    text = GOOD.replace('suite = "r1"', '[[tasks]]\npython = "own.py"').replace(
        "smollm2-135m-instruct", "./models/base"
    )
    recipe = read(text, tmp_path)
    assert recipe.tasks[0].spec.python == str(tmp_path / "own.py")
    assert recipe.base == str((tmp_path / "models" / "base").resolve())
    before = recipe.fingerprint
    (tmp_path / "own.py").write_text("def make(rng, index): return 1\n")
    assert read(text, tmp_path).fingerprint != before  # another task is another recipe


OWN = """
[[stage]]
kind = "reject"
name = "kept"
general = 1
general_file = "chat.jsonl"
[[stage]]
kind = "sft"
name = "again"
sources = ["kept", "own/mine.jsonl"]
"""


def test_a_stages_files_are_meant_from_there_too_and_count_by_what_is_in_them(tmp_path: Path) -> None:
    mine = tmp_path / "own" / "mine.jsonl"
    mine.parent.mkdir()
    mine.write_text('{"prompt": "a", "thinking": null, "answer": "b"}\n')
    recipe = read(GOOD + OWN, tmp_path)
    assert recipe.stages[1].settings.general_file == str(tmp_path / "chat.jsonl")
    assert recipe.stages[2].settings.sources == ("kept", str(mine))
    moved = read((GOOD + OWN).replace("own/mine", "mine"), mine.parent)
    assert moved.fingerprint != recipe.fingerprint  # the prompts are not there
    (tmp_path / "chat.jsonl").write_text('{"prompt": "Hello"}\n')
    (mine.parent / "chat.jsonl").write_text('{"prompt": "Hello"}\n')
    here = recipe.fingerprint
    assert here == moved.fingerprint
    mine.write_text('{"prompt": "a", "thinking": null, "answer": "c"}\n')
    assert recipe.fingerprint != here


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("steps = 10", 'steps = 1\nsources = ["mine.jsonl"]'), r"no file of worked examples at .*mine\.jsonl\.$"),
        (("steps = 10", 'steps = 1\nsources = ["bad.jsonl"]'), r"bad\.jsonl, line 1, is no worked example"),
        (("steps = 10", 'sources = ["solutions"]'), r"worked solutions, which never end: say its `steps`\.$"),
        (("sft", "grpo"), ""),
        (('"sft"', '"grpo"\ntasks = ["leg_countin"]'), r"task leg_countin; did you mean `leg_counting`\?$"),
        (('"sft"', '"reject"\ngeneral = 1\ngeneral_file = "no"'), r"/no cannot be read: no such file"),
        (('"sft"', '"distill"\nmodel = "nobody"'), r"nobody"),
        (('suite = "r1"', '[[tasks]]\ngenerator = "base_conversion"'), r"has no worked solutions to learn from"),
    ],
)  # fmt: skip
def test_what_a_later_stage_would_stop_at_is_said_at_once(
    change: tuple[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("reasoning_gym")
    from clearseek.training.run.context import open_tasks
    from clearseek.training.stages.checks import check_stages

    monkeypatch.setenv("CLEARSEEK_HOME", str(tmp_path / "home"))
    (tmp_path / "bad.jsonl").write_text('{"prompt": 3}\n')
    recipe = read(GOOD.replace(*change), tmp_path)
    tasks = open_tasks(recipe)[0]
    if not said:
        return check_stages(recipe, tasks)
    with pytest.raises(UserError, match=said):
        check_stages(recipe, tasks)


VALUES = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
TABLE = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), VALUES, max_size=4)


@given(TABLE, TABLE, st.lists(TABLE, min_size=1, max_size=2))
def test_whatever_is_written_as_toml_reads_back(top: dict[str, Any], inner: dict[str, Any], many: list[Any]) -> None:
    whole = {**top, "one": inner, "many": many}
    assert tomllib.loads(write_toml(whole)) == whole


def test_a_task_of_the_suite_is_drawn_as_often_as_its_weight_says(tmp_path: Path) -> None:
    pytest.importorskip("reasoning_gym")
    from clearseek.training.run.context import open_tasks

    recipe = read(GOOD.replace("[[stage]]", "[weights]\nproducts = 3\n[[stage]]"), tmp_path)
    trained, shares, _ = open_tasks(recipe)
    drawn = {task.name: share for task, share in zip(trained, shares, strict=True)}
    assert drawn["products"] == pytest.approx(3 / 11)
    assert drawn["chain_sum"] == pytest.approx(1 / 11)
    assert tomllib.loads(write_recipe(recipe))["weights"] == {"products": 3.0}
    with pytest.raises(UserError, match="names product, and r1 trains no such task; did you mean `products`"):
        open_tasks(read(GOOD.replace("[[stage]]", "[weights]\nproduct = 3\n[[stage]]"), tmp_path))


@pytest.mark.parametrize(
    "table", ['plain = "discount"', 'name = "prices"\nplain = "discount"', 'name = "plain_discount"']
)
def test_a_kind_of_question_is_a_task_like_another(tmp_path: Path, table: str) -> None:
    from clearseek.training.run.context import open_tasks

    recipe = read(GOOD.replace('suite = "r1"', "").replace("[[stage]]", f"[[tasks]]\n{table}\n[[stage]]"), tmp_path)
    (task,), _, _ = open_tasks(recipe)
    assert task.name == ("prices" if "prices" in table else "plain_discount")
    assert task_name(recipe.tasks[0]) == task.name
    assert task.make("train", 0).prompt
    assert read(write_recipe(recipe), tmp_path).fingerprint == recipe.fingerprint
    assert read(
        GOOD.replace("[[stage]]", "[weights]\nplain_discount = 3\n[[stage]]").replace('"r1"', '"plain"'), tmp_path
    )


GRPO_KEYS = 'suite = "r1"\n[[stage]]\nkind = "grpo"\nsteps = 3\n'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "samples = 1",
            r"line 8: `samples` of the stage grpo is 1, and must be at least 2: alone, a sample has nothing",
        ),
        ("prompts = 0", r"line 8: `prompts` .* at least 1"),
        ("max_new = 0", r"line 8: `max_new` .* at least 1"),
        ("temperature = 0.0", r"line 8: `temperature` .* between 0.01 and 10"),
        ("clip_low = 1.5", r"line 8: `clip_low` .* between 0"),
        ("kl = -1.0", r"line 8: `kl` .* at least 0"),
        ("length_constant = 0.0", r"line 8: `length_constant` .* above 0"),
        ("kv_gigabytes = 0.0", r"line 8: `kv_gigabytes` .* above 0"),
        ("updates = 0", r"line 8: `updates` .* at least 1"),
        ("prompts = 2\nmin_groups = 3", r"line 9: `min_groups` .* is 3, and a step draws 2 problems at most: no step"),
        ("min_groups = 17", r"line 8: .*draws 16 problems at most"),
        ("group_size = 8", r"line 8: .*no key `group_size`; did you mean `samples`\?$"),
        ("num_generations = 8", r"did you mean `samples`\?$"),
        ("max_completion_length = 8", r"did you mean `max_new`\?$"),
        ("max_tokens = 8", r"did you mean `max_new`\?$"),
        ("learning_rate = 0.1", r"did you mean `lr`\?$"),
        ("beta = 0.1", r"did you mean `kl`\?$"),
        ("batch_size = 8", r"did you mean `prompts`\?$"),
        ("num_iterations = 8", r"did you mean `updates`\?$"),
        ("max_steps = 8", r"did you mean `steps`\?$"),
    ],
)
def test_a_wrong_value_is_told_by_its_key_and_what_others_call_a_key_is_understood(
    line: str, said: str, tmp_path: Path
) -> None:
    text = GOOD.replace('suite = "r1"\n', "").split("[[stage]]")[0] + GRPO_KEYS + line + "\n"
    with pytest.raises(UsageError, match=said):
        read(text, tmp_path)


@pytest.mark.parametrize(
    ("prompts", "rounds", "groups"), [(1, 1, 1), (2, 1, 1), (4, 1, 2), (5, 1, 3), (16, 1, 3), (2, 3, 3)]
)
def test_how_many_groups_have_to_teach_follows_from_how_many_there_are(prompts: int, rounds: int, groups: int) -> None:
    from clearseek.training.recipe.grpo_settings import GrpoSettings

    assert GrpoSettings(prompts=prompts, rounds=rounds).min_groups == groups
    assert GrpoSettings(prompts=prompts, rounds=rounds, min_groups=1).min_groups == 1


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[lora]\nr = 8", r"line 6: \[lora\] has no key `r`; did you mean `rank`"),
        ("[lora]\nlora_alpha = 8", r"did you mean `alpha`"),
        ("[lora]\nmax_grad_norm = 1.0", r"did you mean `clip`"),
        ("[evaluate]\neval_steps = 8", r"did you mean `every`"),
        ("[evaluate]\ndev = -1", r"line 6: `dev` .*at least 0"),
        ("[evaluate]\nmax_new = 0", r"line 6: `max_new` .*at least 1"),
        ("[checkpoints]\nkeep = 0", r"line 6: `keep` .*at least 1"),
        ("[checkpoints]\nevery = -1", r"line 6: `every` .*at least 0"),
        ("[checkpoints]\nsave_total_limit = 1", r"did you mean `keep`"),
        ("[publish]\nrank = -1", r"line 6: `rank` .*at least 0"),
        ("[lora]\nclip = -1.0", r"line 5: .*cannot be negative"),
        ("[lora]\nrank = 0", r"line 6: `rank` .*at least 1"),
    ],
)
def test_tables_are_held_to_sense_too(table: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read(GOOD.replace("[[stage]]", f"{table}\n[[stage]]"), tmp_path)


def test_comments_and_layout_of_a_tasks_file_make_no_other_recipe(tmp_path: Path) -> None:
    def fingerprint(code: str) -> str:
        (tmp_path / "own.py").write_text(code)
        text = GOOD.replace('suite = "r1"', '[[tasks]]\npython = "own.py"')
        return read(text, tmp_path).fingerprint

    code = "def make(rng, index):\n    return {'prompt': 'a', 'answer': 'b'}\n"
    was = fingerprint(code)
    assert fingerprint("# what it is\n\n" + code.replace("(rng, index):", "(rng,  index):  # a comment")) == was
    assert fingerprint(code.replace("\n", "\r\n")) == was
    assert fingerprint(code.replace("'b'", "'c'")) != was
    assert fingerprint(code + "x = (") != fingerprint(code + "x = [")  # no Python: by its bytes
