"""TOML tables as frozen dataclasses and back: an unknown key is answered with the nearest one and its line."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from clearseek.errors import UsageError, UserError
from clearseek.suggest import suggest

T = TypeVar("T")
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?\s*(?:#.*)?$")


class BadKey(UsageError):
    """A value that makes no sense; `key` says whose, so that the line can be told."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key


def at_least(settings: Any, least: float, *keys: str, why: str = "") -> None:
    """Raises BadKey for the first of these that is smaller."""
    for key in keys:
        value = getattr(settings, key)
        if value < least:
            raise BadKey(key, f"`{key}` of the stage {settings.name} is {value}, and must be at least {least}{why}.")


def between(settings: Any, low: float, high: float, *keys: str, why: str = "") -> None:
    """Raises BadKey for the first of these that lies outside."""
    for key in keys:
        value = getattr(settings, key)
        if not low <= value <= high:
            raise BadKey(
                key, f"`{key}` of the stage {settings.name} is {value}, and must lie between {low} and {high}{why}."
            )


def above_zero(settings: Any, *keys: str) -> None:
    """Raises BadKey for the first of these that is not."""
    for key in keys:
        value = getattr(settings, key)
        if value <= 0:
            raise BadKey(key, f"`{key}` of the stage {settings.name} is {value}, and must be above 0.")


@dataclass(frozen=True)
class Source:
    """The text that tables came from, so that an error can name the line."""

    name: str
    text: str

    def line(self, table: str, index: int | None, key: str | None) -> int | None:
        """The number of the line of `key` in the table (the `index`-th of that name); of its header without a key."""
        at, count = "", -1
        for number, line in enumerate(self.text.splitlines(), 1):
            if found := _HEADER.match(line):
                at = found[2].strip()
                if at == table:
                    count += 1
                    if key is None and (index is None or index == count):
                        return number
                continue
            mine = at == table and (index is None or index == count)
            if key is not None and mine and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return number
        return None

    def where(self, table: str, index: int | None = None, key: str | None = None) -> str:
        """ "recipe.toml, line 7", as far as it is known."""
        line = self.line(table, index, key)
        return f"{self.name}, line {line}" if line else self.name

    def check_keys(self, given: Iterable[str], known: Sequence[str], table: str, index: int | None = None) -> None:
        """Raises UsageError for the first key that is not known."""
        for key in given:
            if key not in known:
                raise UsageError(
                    f"{self.where(table, index, key)}: {_named(table)} has no key `{key}`; {nearest(key, known)}"
                )


ELSEWHERE = {
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
"""Our keys, and what other programs call them."""


def nearest(word: str, known: Sequence[str]) -> str:
    """ "did you mean `x`?" or the list of what there is, with the sentence's end."""
    for own, names in ELSEWHERE.items():
        if own in known and word.lower().replace("-", "_") in names.split():
            return f"did you mean `{own}`?"
    return suggest(word, known, 0.6)


def _ended(sentence: str) -> str:
    """With a full stop, unless it ends as a question."""
    return sentence if sentence.endswith("?") else f"{sentence}."


def _named(table: str) -> str:
    return f"[{table}]" if table else "the recipe"


def fill(cls: type[T], given: Mapping[str, Any], source: Source, table: str, index: int | None = None) -> T:
    """A dataclass from a table. Raises UsageError for an unknown key, a value of the wrong type, or one refused."""
    assert dataclasses.is_dataclass(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    source.check_keys(given, list(fields), table, index)
    hints = get_type_hints(cls)
    values = {}
    for key, value in given.items():
        try:
            values[key] = convert(value, hints[key])
        except ValueError as error:
            raise UsageError(f"{source.where(table, index, key)}: `{key}` must be {_ended(str(error))}") from None
    for name, field in fields.items():
        bare = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if bare and name not in values:
            raise UsageError(f"{source.where(table, index)}: {_named(table)} needs `{name}`.")
    try:
        return cls(**values)
    except BadKey as error:
        raise UsageError(f"{source.where(table, index, error.key)}: {error}") from None
    except ValueError as error:
        raise UsageError(f"{source.where(table, index)}: {str(error).rstrip('.')}.") from None
    except UserError as error:  # of settings that are not only a recipe's
        raise UsageError(f"{source.where(table, index)}: {error}") from None


def convert(value: Any, hint: Any) -> Any:
    """The value as the type says, or ValueError("a whole number"). 3 is a float too; lists become tuples."""
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        for option in get_args(hint):
            try:
                return convert(value, option)
            except ValueError:
                continue
        said = [text for text in (_wanted(option) for option in get_args(hint)) if text]
        raise ValueError(" or ".join(dict.fromkeys(said)))
    if origin is Literal:
        if any(value == option and type(value) is type(option) for option in get_args(hint)):
            return value
        close = difflib.get_close_matches(str(value), [str(option) for option in get_args(hint)], n=1, cutoff=0.6)
        raise ValueError(_wanted(hint) + (f"; did you mean {json.dumps(close[0])}?" if close else ""))
    if origin in (tuple, list, Sequence) and isinstance(value, list | tuple):
        parts = get_args(hint)
        if origin is tuple and parts and parts[-1] is not Ellipsis:
            if len(parts) != len(value):
                raise ValueError(_wanted(hint))
            return tuple(convert(one, part) for one, part in zip(value, parts, strict=True))
        made = [convert(one, parts[0] if parts else Any) for one in value]
        return made if origin is list else tuple(made)
    if isinstance(value, dict) and (origin or hint) in (dict, Mapping):
        return value
    if hint is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    raise ValueError(_wanted(hint))


def _wanted(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is Literal:
        return "one of " + ", ".join(json.dumps(option) for option in get_args(hint))
    if origin in (tuple, list, Sequence):
        parts = get_args(hint)
        if origin is tuple and parts and parts[-1] is not Ellipsis:
            return f"a list of {len(parts)}"
        return "a list"
    if (origin or hint) in (dict, Mapping):
        return "a table"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): ""}
    return words.get(hint, "something else")


def table_of(settings: Any) -> dict[str, Any]:
    """A dataclass as a table with every value that TOML can say; None, which it cannot, is left out."""
    found = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.init and value is not None:
            found[field.name] = plain(value)
    return found


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items() if part is not None}
    if isinstance(value, tuple | list | frozenset):
        return [plain(part) for part in value]
    return value if isinstance(value, bool | int | float | str) else str(value)


def write_toml(tables: Mapping[str, Any], comment: str = "") -> str:
    """TOML that reads back as the same tables: values first, then tables, then arrays of tables.

    Within a table of an array, a table is written inline: it is short, and stands where it belongs.
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    values = {key: value for key, value in tables.items() if not _is_table(value)}
    lines += [f"{_key(key)} = {_value(value)}" for key, value in values.items()]
    for key, value in tables.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{_key(key)}]", *(f"{_key(name)} = {_value(part)}" for name, part in value.items())]
    for key, value in tables.items():
        if _is_table(value) and not isinstance(value, Mapping):
            for one in value:
                lines += ["", f"[[{_key(key)}]]", *(f"{_key(name)} = {_value(part)}" for name, part in one.items())]
    return "\n".join(lines).lstrip("\n") + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)
    )


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    return _text(str(value))


def _text(value: str) -> str:
    """A basic string: JSON's escapes are TOML's too, but for the delete character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
