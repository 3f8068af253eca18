"""Every digest of a receipt whose file is within reach: weights, checkpoints, recipe, data."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from clearseek.receipts import gather
from clearseek.receipts.outcome import Found
from clearseek.receipts.statement import plain
from clearseek.settings import home

MOST_FILES = 10_000
_MOST_TOLD = 20
RECORD = "model.json"


class Places:
    """Where the files of a receipt may lie: beside it, in the folder that was named, in the home's model store."""

    def __init__(self, receipt: Path, models: Path | None) -> None:
        self.receipt, self.run, self.models = receipt, receipt.parent, models
        self._digests: dict[Path, str] = {}

    def sha256(self, path: Path) -> str:
        """The digest of a file, computed once."""
        path = path.resolve()
        if path not in self._digests:
            self._digests[path] = gather.sha256_of(path)
        return self._digests[path]

    def beside(self, file: dict[str, Any]) -> Path | None:
        """The file of that name beside the receipt, or one with its content there or in the model store."""
        nearby = [path for path in listed(self.run) if path != self.receipt]
        return gather.inside(self.run, file["name"]) or self._like(
            file, [*nearby, *_walked(home() / "models", most=2000)]
        )

    def in_models(self, file: dict[str, Any]) -> Path | None:
        """The file of that name in the named folder (by its last part alone, too), or one with its content there."""
        if self.models is None:
            return None
        name = file["name"]
        found = gather.inside(self.models, name) or gather.inside(self.models, name.rsplit("/", 1)[-1])
        return found or self._like(file, _walked(self.models))

    def _like(self, file: dict[str, Any], paths: Iterable[Path]) -> Path | None:
        for path in paths:
            if path.is_file() and _is_it(path, file, self):
                return path
        return None


def weights(subject: list[dict[str, Any]], places: Places, found: Found) -> None:
    """The files that the receipt is about."""
    good, missing, in_models = [], [], 0
    for index, file in enumerate(subject):
        name, wanted = file["name"], places.in_models(file)
        in_models += wanted is not None
        # the folder that was named is what is asked about; what lies beside the receipt is looked at all the same
        paths = [path for path in (wanted, places.beside(file)) if path is not None]
        wrong = [path for path in paths if not _is_it(path, file, places)]
        for path in wrong:
            said = f"{name} is not the file that the receipt is about: {_how(path, file)}."
            found.failed("weights", f"subject[{index}].digest.sha256", said)
        if not paths:
            missing.append(name)
        elif not wrong:
            good.append(name)
    if places.models is not None and not in_models:
        found.failed("weights", "subject", f"{places.models} holds none of the files that the receipt is about.")
    if good:
        found.ok("weights", "subject", f"{_few(good)} {'is' if len(good) == 1 else 'are'} what the receipt says.")
    if missing:
        found.skipped("weights", "subject", f"{_few(missing)} could not be found; say with --models where to look.")
    _record_beside(subject, places, found)


def rest(predicate: dict[str, Any], places: Places, found: Found) -> None:
    """Checkpoints, evaluations, recipe, data, base and code."""
    for name in ("checkpoints", "evaluations"):
        files = []
        for index, part in enumerate(predicate[name]):
            if name == "evaluations":
                files.append((f"predicate.evaluations[{index}].file", part["file"]))
            else:
                files += [(f"predicate.checkpoints[{index}].files[{n}]", file) for n, file in enumerate(part["files"])]
        _group(name, files, places, found)
    _results(predicate["evaluations"], places, found)
    _recipe(predicate["recipe"], places, found)
    _data(predicate["data"], places, found)
    _base(predicate["base"], places, found)
    _code(predicate["code"], found)


def _group(name: str, files: list[tuple[str, dict[str, Any]]], places: Places, found: Found) -> None:
    good, missing, bad = 0, [], 0
    for field, file in files:
        path = gather.inside(places.run, file["name"])
        if path is None:
            missing.append(file["name"])
        elif _is_it(path, file, places):
            good += 1
        else:
            bad += 1
            if bad <= _MOST_TOLD:
                found.failed(name, f"{field}.digest.sha256", f"{file['name']} was changed: {_how(path, file)}.")
    if good:
        said = f"Files of {name} that are what the receipt says: {good} of {len(files)}."
        found.ok(name, f"predicate.{name}", said)
    if missing:
        found.skipped(name, f"predicate.{name}", f"{_few(missing)} could not be found beside the receipt.")


def _results(evaluations: list[dict[str, Any]], places: Places, found: Found) -> None:
    """The results written out in the receipt are those of the files, where these are as they were."""
    for index, one in enumerate(evaluations):
        path = gather.inside(places.run, one["file"]["name"])
        if path is None or not _is_it(path, one["file"], places):
            continue
        try:
            same = json.loads(path.read_bytes())["results"] == one["results"]
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            same = False
        if not same:
            said = f"The results written out in the receipt are not those in {one['file']['name']}."
            found.failed("evaluations", f"predicate.evaluations[{index}].results", said)


def _recipe(recipe: dict[str, Any], places: Places, found: Found) -> None:
    path = gather.inside(places.run, recipe["path"])
    if path is None:
        found.skipped("recipe", "predicate.recipe", f"{recipe['path']} is not beside the receipt.")
    elif places.sha256(path) != recipe["digest"]["sha256"]:
        found.failed("recipe", "predicate.recipe.digest.sha256", f"{recipe['path']} was changed.")
    else:
        try:
            same = plain(tomllib.loads(path.read_text("utf-8"))) == recipe["resolved"]
        except (OSError, ValueError, RecursionError):
            same = False
        if same:
            found.ok("recipe", "predicate.recipe", f"{recipe['path']} is the recipe in the receipt.")
        else:
            said = f"The recipe written out in the receipt is not the one in {recipe['path']}."
            found.failed("recipe", "predicate.recipe.resolved", said)


def _data(data: list[dict[str, Any]], places: Places, found: Found) -> None:
    good, missing = 0, []
    for index, one in enumerate(data):
        for number, file in enumerate(one["distribution"]):
            where = str(file.get("contentUrl", ""))
            path = gather.inside(places.run, where) if where and ":" not in where else None
            if path is None:
                missing.append(where or one["name"])
            elif places.sha256(path) == file["sha256"]:
                good += 1
            else:
                field = f"predicate.data[{index}].distribution[{number}].sha256"
                found.failed("data", field, f"{where} is not the data that the receipt names.")
    if good:
        said = f"Files of data that are what the receipt says: {good} of {good + len(missing)}."
        found.ok("data", "predicate.data", said)
    if missing:
        found.skipped("data", "predicate.data", f"{_few(missing)} could not be reached from here.")


def _base(base: dict[str, Any] | None, places: Places, found: Found) -> None:
    if base is None:
        return
    field, wanted = "predicate.base.digest.sha256", base["digest"]["sha256"]
    for model in _store_models():
        if model.sha256 == wanted and model.path.is_file():
            if places.sha256(model.path) == wanted:
                found.ok("base", field, f"The base model is here, as {model.name}.")
            else:
                found.failed("base", field, f"The base model {model.name} was changed in the model store.")
            return
    found.skipped("base", field, f"The base model {base['name']} ({wanted[:16]}...) is not on this machine.")


def _code(code: dict[str, Any], found: Found) -> None:
    here = gather.code()
    field = "predicate.code.digest.sha256"
    if code["digest"] == here["digest"]:
        found.ok("code", field, f"The code is that of the ClearSeek {here['version']} installed here.")
    else:
        said = f"The run was made by another ClearSeek ({code['version']}) than the one here ({here['version']})"
        if code["version"] == here["version"]:
            said = f"The run was made by a ClearSeek {code['version']} whose files differ from the one here"
        found.skipped("code", field, f"{said}, so its code cannot be compared.")


def _record_beside(subject: list[dict[str, Any]], places: Places, found: Found) -> None:
    """A receipt in the model store: the weights beside it must be its own."""
    record = places.run / RECORD
    if not record.is_file():
        return
    model = next((one for one in _store_models(places.run.parent) if one.name == places.run.name), None)
    if model is None or not model.path.is_file():
        return
    if places.sha256(model.path) not in {file["digest"]["sha256"] for file in subject}:
        said = f"{model.path.name} beside this receipt is none of the files that the receipt is about."
        found.failed("weights", "subject", said)


def _store_models(root: Path | None = None) -> list[Any]:
    from clearseek.hub.store import Store

    return Store(root or home() / "models", ()).list()


def _is_it(path: Path, file: dict[str, Any], places: Places) -> bool:
    # the size first: a stranger's receipt may name a file of any length
    if path.stat().st_size != file["annotations"]["bytes"]:
        return False
    wanted: str = file["digest"]["sha256"]
    return places.sha256(path) == wanted


def _how(path: Path, file: dict[str, Any]) -> str:
    size, wanted = path.stat().st_size, file["annotations"]["bytes"]
    return f"{path} has {size:,} bytes, not {wanted:,}" if size != wanted else f"{path} has another SHA-256"


def listed(folder: Path) -> list[Path]:
    """The files in a folder, none where there is no such folder."""
    return [path for path in sorted(folder.iterdir())[:MOST_FILES] if path.is_file()] if folder.is_dir() else []


def _walked(folder: Path, most: int = MOST_FILES) -> Iterator[Path]:
    if folder.is_dir():
        for number, path in enumerate(folder.rglob("*")):
            if number >= most:
                return
            yield path


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
