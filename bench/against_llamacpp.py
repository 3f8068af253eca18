"""Next tokens and log-probabilities of our torch model against llama.cpp on the same GGUF.

    python bench/against_llamacpp.py [MODEL.gguf] [--tokens 2001] [--text FILE] [--kind f32]

For every position of a text: does llama.cpp find the same token most likely, and how far apart are the
log-probabilities of its twenty best and of the token that follows? `--kind` first writes the model again in that
kind (f32 leaves nothing but arithmetic between the two). Prints one JSON document.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "modeling"))

from llama_child import llama_cpp  # noqa: E402

from clearseek.modeling import load_model  # noqa: E402
from clearseek.modeling.export_gguf import export_gguf  # noqa: E402
from clearseek.modeling.tokenizer_files import load_tokenizer  # noqa: E402

TOP = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--tokens", type=int, default=2001)
    parser.add_argument("--text", type=Path, default=ROOT / "docs" / "audit.md")
    parser.add_argument("--kind", choices=["f32", "bf16", "q8_0", "q4_0"])
    options = parser.parse_args()
    model = options.model or default_model()
    with tempfile.TemporaryDirectory() as place:
        if options.kind:
            model = export_gguf(load_model(model), Path(place) / "again.gguf", options.kind, base=model)
        print(json.dumps(compare(model, options.text, options.tokens), indent=1))


def default_model() -> Path:
    from clearseek.hub.store import Store
    from clearseek.settings import home

    return Store(home() / "models").find("smollm2-135m-instruct").path


def compare(path: Path, text: Path, tokens: int) -> dict[str, object]:
    ids = load_tokenizer(path).encode(text.read_text("utf-8"))[:tokens]
    began = time.perf_counter()
    with torch.no_grad():
        ours_TV = load_model(path)(torch.tensor([ids]))[0].log_softmax(-1)
    took = time.perf_counter() - began
    same, differences, following = 0, [], []
    with llama_cpp(path, context=len(ids) + 64) as server:
        for at in range(1, len(ids)):
            theirs = server.next_logprobs(ids[:at], TOP)
            ours_V = ours_TV[at - 1]
            same += max(theirs, key=lambda token: theirs[token]) == int(ours_V.argmax())
            differences += [abs(value - ours_V[token].item()) for token, value in theirs.items()]
            if ids[at] in theirs:
                following.append(theirs[ids[at]] - ours_V[ids[at]].item())
            if at % 200 == 0:
                print(f"{at} of {len(ids)}", file=sys.stderr)
    return {
        "model": path.name,
        "text": text.name,
        "positions": len(ids) - 1,
        "next_token_agreement": same / (len(ids) - 1),
        "mean_abs_logprob_difference_of_top_20": statistics.fmean(differences),
        "p99": statistics.quantiles(differences, n=100)[98],
        "max": max(differences),
        "following_token_mean_difference": statistics.fmean(following) if following else math.nan,
        "following_tokens_within_top_20": len(following),
        "seconds_torch_load_and_forward": round(took, 2),
    }


if __name__ == "__main__":
    main()
