"""Every digest of a receipt whose file is within reach: checkpoints, evaluations, recipe, data, base, code."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from clearseek.receipts import gather
from clearseek.receipts.outcome import CheckLog
from clearseek.receipts.predicate import Base, Code, Data, EvaluationFile, File, Predicate, RecipeFile
from clearseek.receipts.recipe_json import plain
from clearseek.settings import home

MOST_FILES = 10_000
_MOST_TOLD = 20
RECORD = "model.json"
_PACKAGE = "clearseek:"


class Places:
    """Where the files of a receipt may lie: beside it, in the folder that was named, in the home's model store."""

    def __init__(self, receipt: Path, models: Path | None) -> None:
        self.receipt, self.run, self.models = receipt, receipt.parent, models
        self._digests: dict[Path, str] = {}
        self.found: dict[str, Path] = {}
        """Files of the subject that are here as they should be, by their names."""
        self.base: Path | None = None
        """The base model, where it is here as it should be."""

    def sha256(self, path: Path) -> str:
        """The digest of a file, computed once."""
        path = path.resolve()
        if path not in self._digests:
            self._digests[path] = gather.sha256_of(path)
        return self._digests[path]

    def beside(self, name: str) -> Path | None:
        """The file of that name beside the receipt. Links are followed, also out of the folder: they are the doing of
        whoever keeps it, and all that is read out of the file is its digest."""
        return gather.inside(self.run, name, links=True)

    def like(self, file: File, paths: Iterable[Path]) -> Path | None:
        """The first of these that has the file's content."""
        return next((path for path in paths if path.is_file() and is_it(path, file, self)), None)

    def stored(self) -> Iterator[Path]:
        return self.walked(home() / "models", most=2000)

    def walked(self, folder: Path, most: int = MOST_FILES) -> Iterator[Path]:
        """Files under a folder, links within it followed one level deep."""
        for number, path in enumerate(_deep(folder)):
            if number >= most:
                return
            yield path


def rest(predicate: Predicate, places: Places, checks: CheckLog) -> None:
    """Checkpoints, evaluations, recipe, data, base and code."""
    checkpoints = [
        (f"predicate.checkpoints[{index}].files[{n}]", file)
        for index, part in enumerate(predicate["checkpoints"])
        for n, file in enumerate(part["files"])
    ]
    _group("checkpoints", checkpoints, places, checks)
    evaluations_beside(predicate["evaluations"], places, checks)
    recipe_beside(predicate["recipe"], places, checks)
    _data(predicate["data"], places, checks)
    _base(predicate["base"], places, checks)
    _code(predicate["code"], checks)


def _group(name: str, files: list[tuple[str, File]], places: Places, checks: CheckLog) -> None:
    good, missing, bad = [], [], 0
    for field, file in files:
        path = places.beside(file["name"])
        if path is None:
            missing.append(file["name"])
        elif is_it(path, file, places):
            good.append(file["name"])
        else:
            bad += 1
            if bad <= _MOST_TOLD:
                message = f"{file['name']} was changed: {how_other(path, file)}."
                checks.failed(name, f"{field}.digest.sha256", message, (file["name"],))
    if good:
        message = f"Files of {name} that are what the receipt says: {len(good)} of {len(files)}."
        checks.ok(name, f"predicate.{name}", message, good)
    if missing:
        message = f"{few(missing)} could not be found beside the receipt."
        checks.skipped(name, f"predicate.{name}", message, missing)


def evaluations_beside(evaluations: list[EvaluationFile], places: Places, checks: CheckLog) -> None:
    """Their files are the ones meant, and say what is written out in the receipt."""
    files = [(f"predicate.evaluations[{index}].file", one["file"]) for index, one in enumerate(evaluations)]
    _group("evaluations", files, places, checks)
    _results(evaluations, places, checks)


def _results(evaluations: list[EvaluationFile], places: Places, checks: CheckLog) -> None:
    """The results written out in the receipt are those of the files, where these are as they were."""
    for index, one in enumerate(evaluations):
        path = places.beside(one["file"]["name"])
        if path is None or not is_it(path, one["file"], places):
            continue
        try:
            same = json.loads(path.read_bytes())["results"] == one["results"]
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            same = False
        if not same:
            message = f"The results written out in the receipt are not those in {one['file']['name']}."
            checks.failed("evaluations", f"predicate.evaluations[{index}].results", message)


def recipe_beside(recipe: RecipeFile, places: Places, checks: CheckLog) -> None:
    """The recipe's file is the one that the receipt is about, and says what is written out in it."""
    name = recipe["path"]
    path = places.beside(name)
    if path is None:
        checks.skipped("recipe", "predicate.recipe", f"{name} is not beside the receipt.", (name,))
    elif places.sha256(path) != recipe["digest"]["sha256"]:
        checks.failed("recipe", "predicate.recipe.digest.sha256", f"{name} was changed.", (name,))
    else:
        try:
            same = plain(tomllib.loads(path.read_text("utf-8"))) == recipe["resolved"]
        except (OSError, ValueError, RecursionError):
            same = False
        if same:
            checks.ok("recipe", "predicate.recipe", f"{name} is the recipe in the receipt.", (name,))
        else:
            message = f"The recipe written out in the receipt is not the one in {name}."
            checks.failed("recipe", "predicate.recipe.resolved", message, (name,))


def _data(data: list[Data], places: Places, checks: CheckLog) -> None:
    """Files of the run folder must be the ones named. Those of the package (`clearseek:`) may be another version's."""
    good, missing, others = [], [], []
    for index, one in enumerate(data):
        for number, file in enumerate(one["distribution"]):
            where = str(file.get("contentUrl", ""))
            shipped = where.startswith(_PACKAGE)
            if shipped:
                path = gather.inside(Path(__file__).parent.parent, where.removeprefix(_PACKAGE))
            else:
                path = places.beside(where) if where and ":" not in where else None
            if path is None:
                missing.append(where or one["name"])
            elif places.sha256(path) == file["sha256"]:
                good.append(where)
            elif shipped:
                others.append(where)
            else:
                field = f"predicate.data[{index}].distribution[{number}].sha256"
                checks.failed("data", field, f"{where} is not the data that the receipt names.", (where,))
    if good:
        message = (
            f"Files of data that are what the receipt says: {len(good)} of {len(good) + len(missing) + len(others)}."
        )
        checks.ok("data", "predicate.data", message, good)
    if missing:
        checks.skipped("data", "predicate.data", f"{few(missing)} could not be reached from here.", missing)
    if others:
        message = f"{few(others)}: the ClearSeek installed here ships another version than the run read."
        checks.skipped("data", "predicate.data", message, others)


def _base(base: Base | None, places: Places, checks: CheckLog) -> None:
    if base is None:
        return
    field, wanted = "predicate.base.digest.sha256", base["digest"]["sha256"]
    for model in _store_models():
        if model.sha256 == wanted and model.path.is_file():
            if places.sha256(model.path) == wanted:
                places.base = model.path
                checks.ok("base", field, f"The base model is here, as {model.name}.")
            else:
                checks.failed("base", field, f"The base model {model.name} was changed in the model store.")
            return
    checks.skipped("base", field, f"The base model {base['name']} ({wanted[:16]}...) is not on this machine.")


def _code(code: Code, checks: CheckLog) -> None:
    here = gather.code()
    field = "predicate.code.digest.sha256"
    if code["digest"] == here["digest"]:
        checks.ok("code", field, f"The code is that of the ClearSeek {here['version']} installed here.")
    else:
        message = f"The run was made by another ClearSeek ({code['version']}) than the one here ({here['version']})"
        if code["version"] == here["version"]:
            message = f"The run was made by a ClearSeek {code['version']} whose files differ from the one here"
        checks.skipped("code", field, f"{message}, so its code cannot be compared.")


def _store_models(root: Path | None = None) -> list[Any]:
    from clearseek.hub.store import Store

    return Store(root or home() / "models", ()).list()


def is_it(path: Path, file: File, places: Places) -> bool:
    # the size first: a stranger's receipt may name a file of any length
    if path.stat().st_size != file["annotations"]["bytes"]:
        return False
    wanted: str = file["digest"]["sha256"]
    return places.sha256(path) == wanted


def how_other(path: Path, file: File) -> str:
    size, wanted = path.stat().st_size, file["annotations"]["bytes"]
    return f"{path} has {size:,} bytes, not {wanted:,}" if size != wanted else f"{path} has another SHA-256"


def listed(folder: Path) -> list[Path]:
    """The files in a folder, none where there is no such folder."""
    return [path for path in sorted(folder.iterdir())[:MOST_FILES] if path.is_file()] if folder.is_dir() else []


def _deep(folder: Path) -> Iterator[Path]:
    """What is under a folder; also under the links to folders that lie in it itself, which `rglob` passes over."""
    if not folder.is_dir():
        return
    yield from folder.rglob("*")
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and path.is_dir():
            yield from path.rglob("*")


def few(names: Sequence[str]) -> str:
    """Names in a sentence: each, up to twenty."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
