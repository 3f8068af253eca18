"""A model of a few thousand weights in a folder, a recipe for it, and runs of both in processes of their own."""

from __future__ import annotations

import json
import os
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


def tiny_base(folder: Path, seed: int = 0) -> Path:
    """A folder in Hugging Face's form."""
    torch.manual_seed(seed)
    model = Llama(CONFIG)
    export_hf(model, folder, dtype=torch.float32, tokenizer=tiny_tokenizer())
    return folder


OWN_TASK = """
def make(rng, index):
    a, b = rng.randrange(100), rng.randrange(100)
    return {"prompt": f"{a}+{b}=", "answer": str(a + b), "a": a, "b": b}

def score(problem, answer):
    return float(answer.strip() == problem["answer"])

def solve(problem, rng):
    return rng.choice(["so ", "now "]) + f"{problem['a']}+{problem['b']}", problem["answer"]
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
{evaluate or "every = 3" + chr(10) + "dev = 3" + chr(10) + "test = 3" + chr(10) + "max_new = 12" + chr(10) + "served = false"}
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
max_new = 10
min_groups = 1
reward = "random"
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
max_new = 10
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
        command(*args), capture_output=True, text=True, check=False, env=environment(home), timeout=150
    )


def steps_of(run: Path) -> list[dict[str, Any]]:
    """What metrics.jsonl says, without the clock."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "time"} for row in rows]
