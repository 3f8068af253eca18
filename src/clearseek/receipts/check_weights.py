"""The files that a receipt is about: found by their names under every layout that ClearSeek writes, then by content.

A run folder has them as the receipt names them. A model store and the package have some of them flat: the adapter's
two files without their folder, the GGUF as the first digits of its digest. A file of the right name that is another
file is a failure, whatever lies elsewhere; one that is found by its content alone is told with its path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from clearseek.receipts import gather
from clearseek.receipts.check_files import RECORD, Places, few, how_other, is_it, listed
from clearseek.receipts.outcome import CheckLog
from clearseek.receipts.predicate import File

WEIGHTS = (".gguf", ".safetensors", ".bin", ".pt", ".pth", ".npz", ".npy", ".onnx")
"""Endings of files that hold weights; the others of a subject say how to read them."""
_FLAT = ("adapter.json",)
_SHARD = re.compile(r"-\d{5}-of-\d{5}(?=\.[a-z]+\Z)")
_MOST_STRANGERS = 20


def weights(subject: Sequence[File], places: Places, checks: CheckLog) -> None:
    """Every file of the subject: as it should be, another, or not here; each is named."""
    good: list[str] = []
    away: list[str] = []
    missing: list[str] = []
    in_models = 0
    met: set[Path] = set()
    for index, file in enumerate(subject):
        name = file["name"]
        wanted = _in_models(file, places)
        in_models += wanted is not None
        # the folder that was named is what is asked about; what lies beside the receipt is looked at all the same
        beside = _named(file, subject, places)
        paths = [*([wanted] if wanted else []), *beside]
        if not paths and (other := _by_content(file, places)) is not None:
            paths = [other]
            away.append(f"{name} ({other})")
        elif wanted is not None:
            away.append(f"{name} ({wanted})")
        elif beside and beside[0] != places.run / name:
            away.append(f"{name} ({beside[0]})")
        elif beside and (target := _target(beside[0], places.run)) is not None:
            away.append(f"{name} (a link to {target})")
        met |= {path.resolve() for path in paths}
        wrong = [path for path in paths if not is_it(path, file, places)]
        for path in wrong:
            message = f"{name} is not the file that the receipt is about: {how_other(path, file)}."
            checks.failed("weights", f"subject[{index}].digest.sha256", message, (name,))
        if not paths:
            missing.append(name)
        elif not wrong:
            good.append(name)
            places.found[name] = paths[0]
    if places.models is not None and not in_models:
        checks.failed("weights", "subject", f"{places.models} holds none of the files that the receipt is about.")
    if good:
        message = f"{few(good)} {'is' if len(good) == 1 else 'are'} what the receipt says"
        away = [one for one in away if one.partition(" (")[0] in good]
        message += f"; not in the place that it names: {few(away)}." if away else "."
        checks.ok("weights", "subject", message, good)
        checks.whole_models += whole_forms([file["name"] for file in subject], good)
    if missing:
        message = f"{few(missing)} could not be found; say with --models where to look."
        checks.skipped("weights", "subject", message, missing)
    _record_beside(subject, places, checks)
    _strangers(subject, met, places, checks)


def whole_forms(names: Sequence[str], good: Sequence[str]) -> list[str]:
    """Those files of a model that are weights and are here, where all parts of theirs are; all or none of the files,
    where none has the name of weights."""
    heavy = [name for name in names if name.endswith(WEIGHTS)] or list(names)
    if not any(name.endswith(WEIGHTS) for name in names):
        return heavy if set(heavy) <= set(good) else []
    parts: dict[str, list[str]] = {}
    for name in heavy:
        parts.setdefault(_SHARD.sub("", name), []).append(name)
    return [name for group in parts.values() if set(group) <= set(good) for name in group]


def _named(file: File, subject: Sequence[File], places: Places) -> list[Path]:
    """Where the layouts that ClearSeek writes have this file, as far as something lies there."""
    name, last = file["name"], file["name"].rsplit("/", 1)[-1]
    results = [gather.inside(places.run, name, links=True)]
    if last != name and (last in _FLAT or last.endswith(WEIGHTS)):
        flat = gather.inside(places.run, last, links=True)
        same = [one for one in subject if one["name"].rsplit("/", 1)[-1] == last]
        # one of several files of that name: whichever it is, it is not this one if it is another
        if flat is not None and (len(same) == 1 or not any(is_it(flat, one, places) for one in same if one != file)):
            results.append(flat)
    if last.endswith(".gguf"):
        results.append(gather.inside(places.run, f"{file['digest']['sha256'][:16]}.gguf", links=True))
    unique = dict.fromkeys(path for path in results if path is not None)
    return list(unique)


def _in_models(file: File, places: Places) -> Path | None:
    """The file of that name in the named folder (by its last part alone, too), or one with its content there."""
    if places.models is None:
        return None
    name = file["name"]
    inside = gather.inside(places.models, name, links=True)
    inside = inside or gather.inside(places.models, name.rsplit("/", 1)[-1], links=True)
    return inside or places.like(file, places.walked(places.models))


def _by_content(file: File, places: Places) -> Path | None:
    return places.like(file, [*(path for path in listed(places.run) if path != places.receipt), *places.stored()])


def _target(path: Path, folder: Path) -> Path | None:
    """Where a link out of the folder leads; None for what lies in it."""
    target = path.resolve()
    return None if target.is_relative_to(folder.resolve()) else target


def _record_beside(subject: Sequence[File], places: Places, checks: CheckLog) -> None:
    """A receipt in a model store, or in a copy of one of its folders: the weights beside it must be its own."""
    try:
        record = json.loads((places.run / RECORD).read_bytes()[: 1 << 20])
        path = gather.inside(places.run, str(record["file"]), links=True)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return
    if path is None:
        message = f"{record['file']}, which {RECORD} beside this receipt names as the model's weights, is not there."
        checks.skipped("weights", "subject", message)
    elif places.sha256(path) not in {file["digest"]["sha256"] for file in subject}:
        message = f"{path} beside this receipt is none of the files that the receipt is about."
        checks.failed("weights", "subject", message)


def _strangers(subject: Sequence[File], met: set[Path], places: Places, checks: CheckLog) -> None:
    """Weights that lie beside the receipt, and that it does not speak of: they are not covered by it."""
    about = {file["digest"]["sha256"] for file in subject}
    checked = {name for check in checks.checks if check.name == "weights" for name in (check.said,)}
    strange: list[str] = []
    for path in listed(places.run)[:2000]:
        heavy = path.name.endswith(WEIGHTS) and path.resolve() not in met
        if heavy and len(strange) < _MOST_STRANGERS and not any(str(path) in said for said in checked):
            size = path.stat().st_size
            same = any(file["annotations"]["bytes"] == size for file in subject)
            if not (same and places.sha256(path) in about):
                strange.append(path.name)
    if strange:
        said = f"{few(strange)} beside this receipt {'is' if len(strange) == 1 else 'are'} not what it is about."
        checks.skipped("weights", "subject", said, strange)
