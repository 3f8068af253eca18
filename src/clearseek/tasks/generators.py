"""The generators of `reasoning-gym` (Apache-2.0): any of them by name, with any configuration, seeded for ever.

A problem is item `seed + index` of its generator, and each split has a range of seeds of its own. The package's own
scorers give part marks, look for the answer inside longer texts, and some evaluate what they are given: they are only
asked where several answers are right, in a child behind walls, and a part mark is none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import enum
import importlib.metadata
import re
import sys
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from clearseek.errors import UserError
from clearseek.suggest import suggest

CHUNK = 256
"""Some generators make all their items when they are opened, and how many there are changes what they make: this
number is part of what a problem is."""
_KEPT_CHUNKS = 4
HASH_DEPENDENT = frozenset({
    "isomorphic_strings", "knight_swap", "polynomial_multiplication", "ransom_note", "word_ladder",
})  # fmt: skip
"""They draw from sets, so that their problems differ with Python's hash seed: made in a child that fixes it."""
_PRINTS = frozenset({"bf"})
"""They print while they work; stdout belongs to whoever asked."""
OPENED_ONCE = frozenset({
    "arc_agi", "base_conversion", "caesar_cipher", "codeio", "emoji_mystery", "figlet_font", "group_anagrams",
    "letter_counting", "letter_jumble", "n_queens", "rush_hour", "sentence_reordering", "spell_backward",
    "word_sequence_reversal", "word_sorting",
})  # fmt: skip
"""They read files when they are opened (up to 0.4 s), and an item is drawn from seed plus index alone: one data set
gives every seed's item, the same as the chunk's would be."""
_ALL_SEEDS = 1 << 31
_NUMBER_OR_YES = re.compile(r"-?[0-9]+(?:\.[0-9]+)?|true|false|yes|no", re.IGNORECASE | re.ASCII)
_WHOLE = re.compile(r"(-?[0-9]+)\.0")
LICENSE = "Apache-2.0"
URL = "https://github.com/open-thought/reasoning-gym"


def _datasets() -> Mapping[str, tuple[Any, Any]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import reasoning_gym  # noqa: F401
            from reasoning_gym.factory import DATASETS
    except ImportError:
        raise UserError(
            "This task needs the package reasoning-gym; install it with `pip install 'clearseek[train]'`."
        ) from None
    datasets: Mapping[str, tuple[Any, Any]] = DATASETS
    return datasets


def generator_names() -> list[str]:
    return sorted(_datasets())


def version() -> str:
    return importlib.metadata.version("reasoning-gym")


def _near(word: str, known: list[str], what: str) -> str:
    hint = suggest(word, known)
    return hint if hint.startswith("did you") or len(known) < 40 else f"there are {len(known)} {what}."


def checked_config(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of the generator's configuration. Raises UserError: unknown name, key, or value."""
    datasets = _datasets()
    if name not in datasets:
        raise UserError(f"reasoning-gym has no generator `{name}`; {_near(name, sorted(datasets), 'generators')}")
    config_class = datasets[name][1]
    fields = {field.name: field for field in dataclasses.fields(config_class)} if datasets else {}
    known = [key for key in fields if key not in ("seed", "size")]
    hints = get_type_hints(config_class)
    settings: dict[str, Any] = {}
    for key, value in config.items():
        if key not in known:
            raise UserError(f"The generator {name} has no setting `{key}`; {_near(key, known, 'settings')}")
        settings[key] = _value(value, hints.get(key), name, key)
    try:
        made = config_class(**settings)
        if hasattr(made, "validate"):
            made.validate()
    except (AssertionError, TypeError, ValueError, AttributeError) as error:
        said = str(error) or "it refuses them"
        raise UserError(f"The settings of the generator {name} do not work: {said.rstrip('.')}.") from None
    return settings


def _value(value: Any, hint: Any, name: str, key: str) -> Any:
    """What TOML can say, as the configuration wants it: enums by their values, lists as tuples where they are."""
    for kind in (hint, *get_args(hint)):
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            options = {str(one.value): one for one in kind}
            values = value if isinstance(value, list | tuple) else [value]
            for one in values:
                if str(one) not in options:
                    near = _near(str(one), list(options), "values")
                    raise UserError(f"The setting `{key}` of the generator {name} cannot be {one!r}; {near}")
            results = [options[str(one)] for one in values]
            return results if isinstance(value, list | tuple) else results[0]
    if name == "composite" and key == "datasets":
        from reasoning_gym.composite import DatasetSpec

        return [
            DatasetSpec(one["name"], one.get("weight", 1.0), checked_config(one["name"], one.get("config", {})))
            for one in value
        ]
    if isinstance(value, list) and getattr(hint, "__origin__", None) is tuple:
        return tuple(value)
    return value


class Chunks:
    """Items of one generator by seed, opened a chunk at a time."""

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        self.name, self._config = name, checked_config(name, config)
        self._open: OrderedDict[int, Any] = OrderedDict()

    def item(self, seed: int) -> tuple[Any, dict[str, Any]]:
        """`(data set, item)`: the item that this seed is, for ever."""
        once = self.name in OPENED_ONCE
        quiet = contextlib.redirect_stdout(sys.stderr) if self.name in _PRINTS else contextlib.nullcontext()
        first, size = (0, _ALL_SEEDS) if once else (seed - seed % CHUNK, CHUNK)
        dataset = self._open.get(first)
        if dataset is None:
            from reasoning_gym.factory import create_dataset

            dataset = create_dataset(self.name, seed=first, size=size, **self._config)
            self._open[first] = dataset
            while len(self._open) > _KEPT_CHUNKS:
                self._open.popitem(last=False)
        self._open.move_to_end(first)
        with quiet:
            return dataset, dataset[seed - first]


def plain_item(name: str, item: Mapping[str, Any]) -> dict[str, Any]:
    """`{"prompt", "answer", "data"}`, all of it JSON. A generator without a reference answer has answer ""."""
    data = {key: _plain(value) for key, value in item["metadata"].items() if key not in ("difficulty", "source_index")}
    if name == "time_intervals" and str(data.get("task_type", "")).startswith("time"):
        for key in ("start_time", "end_time"):  # the generator puts today's date before a time of day
            data[key] = str(data[key]).partition(" ")[2]
    answer = item["answer"]
    return {"prompt": str(item["question"]).strip(), "answer": "" if answer is None else str(answer), "data": data}


def _plain(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if depth > 12:
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(one, depth + 1) for one in value), key=str)
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value]
    if isinstance(value, enum.Enum):
        return _plain(value.value, depth + 1)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if hasattr(value, "item") and callable(value.item) and getattr(value, "size", 0) == 1:  # a number of numpy's
        return _plain(value.item(), depth + 1)
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


def strict_answer(reference: str) -> bool:
    """Whether only one answer is right: a number, yes, no, true, false."""
    return bool(_NUMBER_OR_YES.fullmatch(reference.strip()))


def shown(value: Any) -> str:
    """A field in a prompt or an answer: lists with commas, `48.0` as `48`."""
    if isinstance(value, list | tuple):
        return ", ".join(shown(one) for one in value)
    text = str(value)
    match = _WHOLE.fullmatch(text)
    return ("0" if match[1] == "-0" else match[1]) if match else text


_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def rendered(template: str, data: Mapping[str, Any], task: str) -> str:
    """`{field}` of a template from a problem's data. Raises UserError for a field that is not there."""

    def field(match: re.Match[str]) -> str:
        if match[1] not in data:
            raise UserError(
                f"The problems of {task} have no field `{match[1]}`; {_near(match[1], sorted(data), 'fields')}"
            )
        return shown(data[match[1]])

    return _FIELD.sub(field, template)
