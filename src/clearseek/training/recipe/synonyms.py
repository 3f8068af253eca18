"""What other trainers call a recipe's keys: whoever comes from one is told ours."""

from __future__ import annotations

from collections.abc import Sequence

from clearseek.toml_tables import Source

SYNONYMS = {
    "samples": (
        "group_size num_generations n_generations num_samples n_samples generations completions rollouts n "
        "num_return_sequences samples_per_prompt rollouts_per_prompt"
    ),
    "prompts": "batch_size train_batch_size per_device_train_batch_size problems num_prompts questions",
    "examples": "batch_size train_batch_size per_device_train_batch_size micro_batch_size",
    "lr": "learning_rate rate peak_lr",
    "max_new": "max_new_tokens max_completion_length max_response_length max_output_tokens max_tokens response_length",
    "max_tokens": "max_length max_seq_length max_seq_len seq_len sequence_length cutoff_len context",
    "steps": "max_steps num_steps n_steps iterations iters total_steps",
    "epochs": "num_epochs num_train_epochs n_epochs",
    "kl": "beta kl_coef kl_beta kl_weight kl_penalty",
    "clip_low": "epsilon eps_clip cliprange clip_range clip_epsilon",
    "clip_high": "epsilon_high",
    "updates": "num_iterations ppo_epochs mu inner_epochs",
    "temperature": "temp",
    "decay": "scheduler lr_scheduler lr_scheduler_type schedule lr_decay",
    "sources": "data dataset datasets file files train_file data_files",
    "divide_by_std": "scale_rewards normalize_advantages",
    "normalise": "loss_type normalize normalization loss_agg_mode",
    "overlong": "mask_truncated_completions overlong_filtering",
    "patience": "early_stopping early_stopping_patience",
    "warmup": "warmup_steps num_warmup_steps",
    "rank": "r lora_r lora_rank",
    "alpha": "lora_alpha",
    "targets": "target_modules lora_targets",
    "clip": "max_grad_norm grad_clip gradient_clipping clip_grad_norm",
    "micro_batch_tokens": "micro_batch_size max_tokens_per_batch",
    "base": "model model_name model_name_or_path model_path",
    "every": "eval_steps save_steps eval_every save_every interval logging_steps",
    "keep": "save_total_limit",
    "test": "n_test test_size num_test",
    "dev": "n_dev val validation eval_size dev_size",
    "minutes": "time max_minutes max_time minutes_max",
    "usd": "dollars money max_usd cost",
    "kind": "type stage",
    "python": "file path code",
    "weight": "share",
}
"""A recipe's keys, and what other programs call them."""


def source_of(name: str, text: str = "") -> Source:
    """A recipe's text, for errors that name the line and the nearest key."""
    return Source(name, text, "the recipe", SYNONYMS)


def nearest(word: str, known: Sequence[str]) -> str:
    """ "did you mean `x`?" or the list of what there is, with the sentence's end."""
    return source_of("").nearest(word, known)
