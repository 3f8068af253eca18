"""Weights in a Hugging Face repository, at the commit that the revision names when the pull begins.

huggingface_hub knows the user's `HF_ENDPOINT`, token, proxy and certificates, and does the requests. Its own
download helper throws away what has come when the process dies, so the part file and its going on are ours.
Nothing else in ClearSeek's store opens a connection.
"""

from __future__ import annotations

import contextlib
import fnmatch
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlparse

from clearseek.hub.errors import HubError, PullFailed
from clearseek.hub.files import Progress, need_room, remove_tree, sync_folder

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file from a hub; `sha256` is what the hub states for it, if it does."""

    path: Path
    sha256: str | None
    source: str


def fetch(repo: str, revision: str, file: str, staging: Path, progress: Progress) -> Fetched:
    """Fetch one file (a name, or a pattern that matches exactly one) into `staging`, going on where a part lies.

    Raises PullFailed in one sentence, OSError when the disk is full.
    """
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers, disable_progress_bars  # type: ignore[attr-defined]

    disable_progress_bars()  # the progress is ours to show
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    endpoint = constants.ENDPOINT
    with _failures_told(repo, revision, file, endpoint):
        info = huggingface_hub.HfApi().model_info(repo, revision=revision, files_metadata=True)
        commit = info.sha or revision
        name, size, stated = _choose(info.siblings or [], repo, file)
        # named after what is in them, so that what an earlier pull left is never taken for another file
        mark = (stated or commit)[:40]
        target, part = staging / f"{mark}.gguf", staging / f"{mark}.part"
        for stale in staging.iterdir():
            if stale not in (target, part):
                remove_tree(stale)
        source = f"hf:{repo}@{commit}/{name}"
        if target.is_file() and target.stat().st_size == size:
            return Fetched(target, stated, source)
        url = huggingface_hub.hf_hub_url(repo, name, revision=commit)
        meta = huggingface_hub.get_hf_file_metadata(url)
        etag = meta.etag or ""
        if stated is None and _SHA256.match(etag):
            stated = etag
        if size is None:
            size = meta.size
        headers = build_hf_headers()
        if urlparse(meta.location).netloc != urlparse(url).netloc:
            headers.pop("authorization", None)  # the token is for the hub, not for where the bytes are kept
        with part.open("ab") as out:
            have = out.tell()
            if size is not None and have > size:
                have = 0
                out.truncate(0)
            if size is not None:
                need_room(staging, size - have)
            progress("download", have, size)
            watched = cast(Any, _Watched(out, have, size, progress))
            http_get(meta.location, watched, resume_size=have, headers=headers, expected_size=size)
            out.flush()
            os.fsync(out.fileno())
    part.replace(target)
    sync_folder(staging)
    return Fetched(target, stated, source)


class _Watched:
    """A file whose writing is told; what `http_get` asks of a file, and no more."""

    def __init__(self, out: IO[bytes], done: int, total: int | None, progress: Progress) -> None:
        self.out, self.done, self.total, self.progress = out, done, total, progress

    def write(self, data: bytes) -> int:
        if self.total is not None and self.done + len(data) > self.total:
            raise PullFailed(f"The hub sends more than the {self.total} bytes it promised; pull again.")
        self.out.write(data)
        self.done += len(data)
        self.progress("download", self.done, self.total)
        return len(data)

    def tell(self) -> int:
        return self.done

    def seek(self, offset: int) -> int:
        self.done = offset
        return self.out.seek(offset)

    def truncate(self) -> int:
        return self.out.truncate()


def _choose(siblings: list[Any], repo: str, wanted: str) -> tuple[str, int | None, str | None]:
    """The one file meant: its name, size in bytes and SHA-256."""
    names = [sibling.rfilename for sibling in siblings]
    result = [name for name in names if name == wanted] or fnmatch.filter(names, wanted)
    if not result:
        near = ", ".join(sorted(name for name in names if name.endswith(".gguf"))[:5]) or "no GGUF file at all"
        raise PullFailed(f"{repo} holds no file {wanted}; it has {near}.")
    if len(result) > 1:
        raise PullFailed(f"{wanted} means {len(result)} files of {repo}: {', '.join(sorted(result)[:5])}.")
    sibling = next(sibling for sibling in siblings if sibling.rfilename == result[0])
    lfs = getattr(sibling, "lfs", None)
    sha256 = lfs.sha256 if lfs is not None and _SHA256.match(lfs.sha256 or "") else None
    return result[0], sibling.size, sha256


@contextlib.contextmanager
def _failures_told(repo: str, revision: str, file: str, endpoint: str) -> Iterator[None]:
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise PullFailed(
            f"{repo} is only for those who accepted its terms: do that at {endpoint}/{repo}, "
            "then set HF_TOKEN to a token of yours and pull again."
        ) from None
    except errors.RevisionNotFoundError:
        raise PullFailed(f"{repo} has no revision {revision} at {endpoint}.") from None
    except errors.RepositoryNotFoundError:
        raise PullFailed(
            f"There is no repository {repo} at {endpoint}, or it is private: then set HF_TOKEN and pull again."
        ) from None
    except errors.EntryNotFoundError:
        raise PullFailed(f"{repo} has no file {file} any more.") from None
    except errors.OfflineModeIsEnabled:
        raise PullFailed(f"HF_HUB_OFFLINE is set, so {repo} cannot be fetched; unset it and pull again.") from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status == 401:
            raise PullFailed(f"{endpoint} does not accept the token; check HF_TOKEN and pull again.") from None
        raise PullFailed(f"{endpoint} answered {status} for {repo}; pull again later.") from None
    except OSError as error:
        if error.errno is not None and not isinstance(error, ConnectionError | TimeoutError):
            raise  # the disk, not the connection
        raise _broke(repo, endpoint) from None
    except HubError:
        raise
    except Exception as error:  # the HTTP client below huggingface_hub has changed before, and its errors with it
        if isinstance(error, TypeError | AttributeError | AssertionError):
            raise
        raise _broke(repo, endpoint) from None


def _broke(repo: str, endpoint: str) -> PullFailed:
    return PullFailed(
        f"The connection to {endpoint} for {repo} could not be made or broke; pull again, it goes on where it stopped."
    )
