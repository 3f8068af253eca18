"""The models on this machine: one folder each, with the weights and a record that is written last.

    models/<name>/<sha256, 16 digits>.gguf    the weights
    models/<name>/model.json                  the record; a name exists when its record does
    models/<name>/receipt.json and others     of a model that ClearSeek trained (see receipt_files.py)
    models/.staging/<name>/                   what a pull has so far; a later pull goes on from it
    models/.locks/<name>.lock                 one writer per name, across processes

The record names its weights, so replacing a model (another quantisation) is: put the new weights beside the old,
replace the record, drop the old weights. A crash between any two of these leaves one whole model or the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clearseek import __version__
from clearseek.hub.adapter import Adapter
from clearseek.hub.catalogue import QUANTS, Entry, Quant, catalogue
from clearseek.hub.errors import BadModelFile, HubError, UnknownModel, WeightsGone, WrongHash
from clearseek.hub.fetching import check_weights, fetch_entry
from clearseek.hub.files import (
    Progress,
    copy_stream,
    disk_errors_told,
    hash_file,
    no_progress,
    remove_tree,
    sync_folder,
    write_aside,
)
from clearseek.hub.gguf_file import Header, read_header
from clearseek.hub.importable import check_importable
from clearseek.hub.model import Model
from clearseek.hub.receipt_files import copy_receipt_files, receipt_files_of
from clearseek.hub.shipped_adapters import adapter_of, assembled, quant_of
from clearseek.hub.weights import check_installed, digest_of, known_digest, remember_digest

RECORD = "model.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}\Z")


class Store:
    """The folder `models/`. Methods may be called from any thread and process."""

    def __init__(self, root: Path, entries: tuple[Entry, ...] | None = None) -> None:
        """`entries` is the catalogue to pull from; the shipped one when absent."""
        self.root = Path(root)
        self.entries = catalogue() if entries is None else entries

    def list(self) -> list[Model]:
        """Installed models by name. A folder without a whole record is not a model yet and is passed over."""
        if not self.root.is_dir():
            return []
        models = [self._read(folder) for folder in sorted(self.root.iterdir()) if _NAME.match(folder.name)]
        return [model for model in models if model is not None]

    def find(self, name: str) -> Model:
        """The installed model of that name or alias, in whatever case.

        Raises UnknownModel, with the nearest name and the command to pull it; WeightsGone where they are missing or
        have another size than recorded.
        """
        wanted = name.strip().lower()
        entry = self.entry(wanted)
        for candidate in dict.fromkeys([wanted, entry.name if entry else wanted]):
            model = self._read(self.root / candidate) if _NAME.match(candidate) else None
            if model is not None:
                size = model.path.stat().st_size if model.path.is_file() else None
                if size != model.bytes:
                    what = "are missing" if size is None else f"have {size} bytes and should have {model.bytes}"
                    raise WeightsGone(
                        f"The weights of {model.name} {what}; run `clearseek models rm {model.name}` and get it again."
                    )
                return model
        raise self._unknown(name, entry)

    def entry(self, name: str) -> Entry | None:
        """The catalogue's entry of that name or alias."""
        return next((entry for entry in self.entries if entry.answers_to(name)), None)

    def pull(self, name: str, *, quant: str | None = None, progress: Progress | None = None) -> Model:
        """Get a model of the catalogue; returns at once when it is here already.

        `quant` is "keep", "q4_0" or "q8_0" (None: the catalogue's choice). `progress` is called with
        `(stage, bytes done, bytes in all or None)`. A pull that was cut short goes on where it stopped. Raises
        UnknownModel, PullFailed, WrongHash, BadModelFile or HubError, and then nothing has changed.
        """
        entry = self.entry(name)
        if entry is None:
            raise self._unknown(name, None)
        if quant is not None and quant not in QUANTS:
            raise HubError(f"There is no quantisation `{quant}`; use keep, q4_0 or q8_0.")
        wanted: Quant = entry.quant if quant is None else quant
        adapter = adapter_of(entry)
        if adapter is not None:
            wanted = quant_of(adapter, wanted)
        tell = progress or no_progress
        doing = f"Pulling {entry.name}"
        with disk_errors_told(doing, self.root), self._locked(entry.name):
            there = self._read(self.root / entry.name)
            if there is not None and _is_what_was_asked(there, entry, wanted, adapter):
                return there
            staging = self.root / ".staging" / entry.name
            staging.mkdir(parents=True, exist_ok=True)
            try:
                if adapter is None:
                    file, original, source = fetch_entry(entry, staging, tell)
                else:
                    file, original, source = assembled(self, entry, adapter, staging, tell)
                header = read_header(file)
                if wanted != "keep":
                    from clearseek.hub.requantize import requantize

                    smaller = staging / f"{wanted}.gguf"
                    requantize(file, smaller, wanted, lambda done, total: tell("requantise", done, total))
                    file, header = smaller, read_header(smaller)
                digest = original if wanted == "keep" else hash_file(file, tell)
                model = self._model(entry.name, file, header, digest, original, source)
                model = dataclasses.replace(
                    model,
                    licence=entry.licence,
                    thinking=entry.thinking,
                    description=entry.description,
                    context=entry.context,
                    requantised_by=None if wanted == "keep" else _requantiser(),
                )
                self._publish(model, file, {} if adapter is None else receipt_files_of(adapter.folder))
            except BaseException as error:
                # keep what a later pull can use; a full disk gets its room back, a wrong file is not kept
                if isinstance(error, OSError | WrongHash | BadModelFile):
                    remove_tree(staging)
                raise
            remove_tree(staging)
            return self._read(self.root / entry.name) or model

    def import_file(
        self,
        path: Path | str,
        name: str | None = None,
        *,
        source: str | None = None,
        receipt_folder: Path | None = None,
        replace: bool = False,
        progress: Progress | None = None,
    ) -> Model:
        """Take a GGUF file of one's own into the store, by hard link where the disk allows it, else by copy.

        Without a name the file's own is used. `source`: what the record says of where it came from. `receipt_folder`:
        of the run that made it, whose receipt and what that names (`receipt_files_of`) are copied. `replace`:
        take the place of a model of that name and source. Raises BadModelFile for what is no GGUF or no model to chat
        with (see `check_importable`), HubError for a bad name or one that is taken.
        """
        path, tell = Path(path).expanduser().resolve(), progress or no_progress
        header = read_header(path)
        check_importable(header, path)
        chosen = _plain_name(path.stem) if name is None else name.strip().lower()
        if not _NAME.match(chosen):
            raise HubError(f"`{name or path.stem}` cannot be a model's name; use a to z, 0 to 9, `.`, `_` and `-`.")
        if (entry := self.entry(chosen)) is not None:
            raise HubError(f"`{chosen}` means the catalogue's {entry.name}; choose another name with `--name`.")
        with disk_errors_told(f"Importing {path.name}", self.root), self._locked(chosen):
            there, data = self._read(self.root / chosen), source or f"file:{path.name}"
            if there is not None and not (replace and there.source == data):
                raise HubError(f"There is already a model {chosen}; remove it first, or choose another `--name`.")
            staging = self.root / ".staging" / chosen
            remove_tree(staging)
            staging.mkdir(parents=True)
            try:
                file = _link_or_copy(path, staging / "model.gguf", tell)
                digest = hash_file(file, tell)
                model = self._model(chosen, file, header, digest, digest, data)
                self._publish(model, file, {} if receipt_folder is None else receipt_files_of(receipt_folder))
            finally:
                remove_tree(staging)
        return self.find(chosen)

    def export(self, name: str, target: Path | str, *, progress: Progress | None = None) -> Path:
        """Copy a model's weights out of the store, checking them on the way; returns where they are."""
        model, target = self.find(name), Path(target).expanduser()
        if target.is_dir():
            target = target / f"{model.name}.gguf"
        if target.exists():
            raise HubError(f"{target} exists already; choose another name.")
        aside = target.with_name(target.name + ".part")
        with disk_errors_told(f"Exporting {model.name}", target.parent):
            try:
                with model.path.open("rb") as source:
                    copy_stream(source, aside, model.bytes, "copy", model.bytes, progress or no_progress)
                check_weights(aside, model.sha256, model.name, progress or no_progress)
                os.replace(aside, target)
                sync_folder(target.parent)
            finally:
                aside.unlink(missing_ok=True)
        return target

    def remove(self, name: str) -> str:
        """Take a model off this machine; returns its name. The record goes first, so a crash leaves no name without
        weights."""
        wanted = name.strip().lower()
        entry = self.entry(wanted)
        for candidate in dict.fromkeys([wanted, entry.name if entry else wanted]):
            folder = self.root / candidate
            if _NAME.match(candidate) and folder.is_dir():
                with disk_errors_told(f"Removing {candidate}", self.root), self._locked(candidate):
                    (folder / RECORD).unlink(missing_ok=True)
                    remove_tree(folder)
                    remove_tree(self.root / ".staging" / candidate)
                return candidate
        raise self._unknown(name, entry)

    def verify(self, name: str, *, progress: Progress | None = None) -> None:
        """Hash the weights again. Raises WrongHash where they are not what was recorded."""
        model = self.find(name)
        digest, _ = digest_of(model.path, afresh=True, progress=progress or no_progress)
        check_installed(model, digest)

    def _read(self, folder: Path) -> Model | None:
        try:
            record: dict[str, Any] = json.loads((folder / RECORD).read_text("utf-8"))
            file = str(record.pop("file"))
            if file != Path(file).name:
                return None
            return Model(path=folder / file, name=folder.name, **record)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def _model(self, name: str, file: Path, header: Header, digest: str, original: str, source: str) -> Model:
        template = header.chat_template or ""
        return Model(
            name=name,
            path=file,
            sha256=digest,
            bytes=header.file_bytes,
            quant=header.quantisation,
            architecture=header.architecture,
            parameters=header.parameter_count,
            context=header.context_length or 2048,
            licence=header.licence,
            thinking="native" if "<think>" in template else "prompted",
            description=(header.text("general.name") or name)[:200],
            source=source,
            original_sha256=original,
        )

    def _publish(self, model: Model, file: Path, files: Mapping[str, Path]) -> None:
        """Put weights and receipt files in their place, then the record, then drop what belonged to others.

        A crash in between leaves the old model or the new one; for a moment the old one may lie beside a new receipt,
        and then its proof says that they are about other weights.
        """
        folder = self.root / model.name
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{model.sha256[:16]}.gguf"
        os.replace(file, target)
        remember_digest(target, model.sha256)
        copy_receipt_files(files, folder)
        sync_folder(folder)
        record = {key: value for key, value in dataclasses.asdict(model).items() if key not in ("path", "name")}
        write_aside(folder / RECORD, json.dumps({"file": target.name, **record}, indent=1).encode())
        sync_folder(self.root)
        kept = {RECORD, target.name, *(name.partition("/")[0] for name in files)}
        for other in folder.iterdir():
            if other.name not in kept:
                remove_tree(other)

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        locks = self.root / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / f"{name}.lock")
        try:
            lock.acquire(timeout=600)
        except Timeout:
            raise HubError(f"Another process is busy with {name}; try again when it is done.") from None
        try:
            yield
        finally:
            lock.release()

    def _unknown(self, name: str, entry: Entry | None) -> UnknownModel:
        if entry is not None:
            return UnknownModel(f"{entry.name} is not on this machine; run `clearseek models pull {entry.name}`.")
        if name.strip().lower().endswith(".gguf") or os.sep in name:
            return UnknownModel(
                f"There is no model `{name}`: a file has to be taken in first, with `clearseek models import FILE`."
            )
        installed = [model.name for model in self.list()]
        pullable = {alias: e.name for e in self.entries for alias in (e.name, *e.aliases)}
        asked = name.strip().lower()
        # One that would first have to be fetched is named for a slip of the pen only: the name of a hosted model is
        # likest to some large one of the same maker's, and that is not what was asked for.
        near = difflib.get_close_matches(asked, installed, n=1, cutoff=0.5)
        near = near or difflib.get_close_matches(asked, pullable, n=1, cutoff=0.8)
        if not near:
            here = f" here, only {', '.join(f'`{one}`' for one in installed[:5])}" if installed else ""
            return UnknownModel(f"There is no model `{name}`{here}; see `clearseek models list`.")
        if near[0] in installed:
            return UnknownModel(f"There is no model `{name}`; did you mean `{near[0]}`?")
        nearest = pullable[near[0]]
        if nearest in installed:
            return UnknownModel(f"There is no model `{name}`; did you mean `{nearest}`?")
        return UnknownModel(
            f"There is no model `{name}`; did you mean `{nearest}`? `clearseek models pull {nearest}` gets it."
        )


def _requantiser() -> str:
    from importlib.metadata import version

    return f"ClearSeek {__version__} with gguf {version('gguf')}"


def _is_what_was_asked(model: Model, entry: Entry, quant: Quant, adapter: Adapter | None) -> bool:
    promised = entry.sha256 if adapter is None else adapter.result_sha256
    same_source = promised in (None, model.original_sha256)
    kept = model.sha256 == model.original_sha256
    same_quant = kept if quant == "keep" else (not kept and model.quant.lower() == quant)
    return same_source and same_quant and weights_are_whole(model)


def weights_are_whole(model: Model) -> bool:
    """Whether the weights are there in their length, and nobody has found them to be others."""
    if not model.path.is_file() or model.path.stat().st_size != model.bytes:
        return False
    return known_digest(model.path) in (None, model.sha256)


def _link_or_copy(source: Path, target: Path, progress: Progress) -> Path:
    try:
        os.link(source, target)
    except OSError:
        size = source.stat().st_size
        with source.open("rb") as file:
            copy_stream(file, target, size, "copy", size, progress)
    return target


def _plain_name(text: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:80]
