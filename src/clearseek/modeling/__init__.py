"""Architectures in plain torch, and their weights. Needs the extra `train` (torch, safetensors, tokenizers)."""
