"""A model of a few thousand weights in a folder, a recipe for it, and runs of both in processes of their own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, pre_tokenizers, trainers

from clearseek.modeling.config import LlamaConfig
from clearseek.modeling.export_hf import export_hf
from clearseek.modeling.gguf_tokenizer import byte_pairs
from clearseek.modeling.llama import Llama
from clearseek.modeling.tokenizer import Tokenizer
from clearseek.training.data.chat_format import chat_format
from clearseek.training.data.groups import Group
from clearseek.training.recipe.learner_settings import LearnerSettings
from clearseek.training.update.learner import open_learner
from clearseek.training.update.losses import sft_loss

CONFIG = LlamaConfig(
    model_type="llama",
    vocab_size=272,
    hidden_size=32,
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=8,
    intermediate_size=48,
    max_positions=512,
    tie_embeddings=True,
    eos_token_ids=(2,),
)


def tiny_tokenizer() -> Tokenizer:
    """Bytes and turn markers; a few merges make no difference to what is tested."""
    rust = byte_pairs({}, [], "smollm")
    control = [AddedToken(text, special=True) for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    rust.train_from_iterator(
        ["What is 12 + 7? 19"],
        trainers.BpeTrainer(
            vocab_size=270,
            special_tokens=control,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"  # noqa: E501
    return Tokenizer(rust, bos_id=1, end_ids=[2], pad_id=0, chat_template=template, pre="smollm")


def tiny_base(folder: Path, *, taught: int = 0) -> Path:
    """A folder in Hugging Face's form. `taught`: steps in which it learned to write `so`, `</think>` and a digit."""
    torch.manual_seed(0)
    model = Llama(CONFIG)
    tokenizer = tiny_tokenizer()
    if taught:
        chat = chat_format(tokenizer)
        learner = open_learner(model, LearnerSettings(method="full", train_embedding=True, dtype="float32"))
        rng = random.Random(0)
        for _ in range(taught):
            groups = [
                Group(
                    tuple(chat.prompt(f"{rng.randrange(100)}+{rng.randrange(100)}=")),
                    (tuple(chat.completion(rng.choice(["so", "now"]), rng.choice("12"))),),
                )
                for _ in range(4)
            ]
            count = sum(group.scored for group in groups)
            weights_A = torch.full((count,), 1.0 / count)
            learner.update(groups, lambda scores, weights_A=weights_A: sft_loss(scores, weights_A), 1e-2)
    export_hf(model, folder, dtype=torch.float32, tokenizer=tokenizer)
    return folder


OWN_TASK = """
def make(rng, index):
    a, b = rng.randrange(100), rng.randrange(100)
    return {"prompt": f"{a}+{b}=", "answer": "1"}

def score(problem, answer):
    return float(answer.strip() == problem["answer"])

def solve(problem, rng):
    return rng.choice(["so", "now"]), "1"
"""


EVALUATE = """every = 3
dev = 3
test = 3
max_new = 20
served = false
"""


def recipe_text(base: Path, stages: str, *, extra: str = "", task: str = "", evaluate: str = "") -> str:
    return f"""
name = "tiny"
seed = 3
base = "{base}"
{extra}
[lora]
rank = 2
alpha = 4.0
dtype = "float32"
[evaluate]
{evaluate or EVALUATE}
[checkpoints]
every = 2
keep = "all"
{task or "[[tasks]]" + chr(10) + 'python = "own.py"'}
{stages}
"""


SFT = """
[[stage]]
kind = "sft"
name = "start"
steps = 5
examples = 3
"""
GRPO = """
[[stage]]
kind = "grpo"
name = "rl"
steps = 4
prompts = 2
samples = 3
max_new = 20
min_groups = 1
rows = 8
kv_gigabytes = 0.05
"""
REJECT = """
[[stage]]
kind = "reject"
name = "kept"
steps = 2
prompts = 2
samples = 2
max_new = 20
general = 3
general_max_new = 6
rows = 8
kv_gigabytes = 0.05
"""


def write_recipe_file(folder: Path, base: Path, stages: str, **more: str) -> Path:
    (folder / "own.py").write_text(OWN_TASK)
    path = folder / "recipe.toml"
    path.write_text(recipe_text(base, stages, **more))
    return path


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CLEARSEEK_")}
    return {
        **kept, "CLEARSEEK_HOME": str(home), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "NO_COLOR": "1",
    }  # fmt: skip


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "clearseek.cli.main", *map(str, args)]


def clearseek(home: Path, *args: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own."""
    return subprocess.run(
        command(*args), capture_output=True, text=True, check=False, env=environment(home), timeout=600
    )


def steps_of(run: Path) -> list[dict[str, Any]]:
    """What metrics.jsonl says, without the clock."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "time"} for row in rows]
