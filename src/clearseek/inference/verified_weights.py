"""The weights that answer are those of the record: they are hashed while they are loaded, and looked at afterwards."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable

from clearseek.hub.errors import HubError
from clearseek.hub.model import Model
from clearseek.hub.weights import FileIdentity, check_installed, digest_of
from clearseek.inference.errors import EngineUnavailable
from clearseek.inference.llamacpp_process import LlamaProcess
from clearseek.inference.machine import Plan


class Weights:
    """The file of one model. `digest` is the SHA-256 of what was loaded from it; None before."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.digest: str | None = None
        self._loaded: FileIdentity | None = None

    def there(self) -> None:
        """Raises EngineUnavailable where the file is gone."""
        if not self.model.path.exists():
            raise EngineUnavailable(
                f"The weights of {self.model.name} are gone from {self.model.path}: fetch them again with "
                f"`clearseek models pull {self.model.name}`."
            )

    async def load(self, plan: Plan) -> LlamaProcess:
        """A child with the weights of the record and no others: they are hashed while it loads them."""
        given_up = threading.Event()
        hashing = asyncio.create_task(asyncio.to_thread(digest_of, self.model.path, stop=given_up.is_set))
        try:
            try:
                process = await LlamaProcess.start(self.model.path, plan)
            except EngineUnavailable:
                await self._vouch(hashing)  # that they are other weights is why, if they are
                raise
            try:
                await self._vouch(hashing)
                if self._now() not in (None, self._loaded):  # put there meanwhile: which of them was loaded?
                    await self._vouch(asyncio.to_thread(digest_of, self.model.path, stop=given_up.is_set))
            except BaseException:
                await process.stop()
                raise
            return process
        finally:
            given_up.set()
            await asyncio.gather(hashing, return_exceptions=True)

    async def _vouch(self, hashing: Awaitable[tuple[str, FileIdentity]]) -> None:
        """Raises EngineUnavailable where the weights are not those of the record."""
        try:
            digest, seen = await hashing
            check_installed(self.model, digest)
        except HubError as error:
            raise EngineUnavailable(str(error)) from None
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise EngineUnavailable(f"The weights of {self.model.name} cannot be read: {why}.") from None
        self.digest, self._loaded = digest, seen

    async def unchanged(self) -> None:
        """A file that was written into while it is loaded may change the weights in memory: look at it again.

        One that was moved away, or another in its place, changes nothing: the child holds on to what it opened.
        """
        seen, before = self._now(), self._loaded
        if seen is None or before is None or (seen.device, seen.inode) != (before.device, before.inode):
            return
        if seen != before:
            await self._vouch(asyncio.to_thread(digest_of, self.model.path))

    def _now(self) -> FileIdentity | None:
        """The file as it is; None where it is gone."""
        try:
            return FileIdentity.of(self.model.path.stat())
        except OSError:
            return None
