"""Where schemas are taken to: the way to the process that compiles them, and holds finished answers against them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from clearseek.inference.errors import BadRequest, EngineError, EngineUnavailable
from clearseek.inference.grammar import check_size
from clearseek.inference.schema_keywords import Refused

WALL_SECONDS = 60.0
"""For one job, however busy the machine is; the process itself counts its computing, and ends much earlier."""
MAX_LINE = 64 << 20
REMEMBERED = 64
MAX_REMEMBERED = 200_000
"""Characters of a grammar that is kept for the next request with the same schema."""


class SchemaBroken(EngineError):
    """A finished answer does not match the schema that it was promised to match."""

    status = 500
    kind = "schema_mismatch"


@dataclass(frozen=True, slots=True)
class SchemaJob:
    """A schema to hold to: that of the answer, or (with `name`) of the arguments of a tool. `param` told it."""

    schema: Any
    param: str
    name: str | None = None


class SchemaDesk:
    """One helper process, started with the first schema. Jobs are done one at a time."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._grammars: OrderedDict[bytes, dict[str, Any]] = OrderedDict()
        self._closed = False

    async def grammar(self, asked: Sequence[SchemaJob]) -> str:
        """The grammar that holds an answer to a schema, or to a call of one of these tools.

        Raises BadRequest, with the place, for a schema that cannot be held to.
        """
        _check_sizes(asked)
        job = orjson.dumps({"do": "grammar", "asked": [{"schema": one.schema, "name": one.name} for one in asked]})
        value = self._grammars.get(job)
        if value is None:
            value = await self._do(job)
            if value is None:
                raise BadRequest(
                    f"{_subject(asked[0])} takes the engine's grammar compiler too long, or too much memory; "
                    "make it simpler.",
                    asked[0].param,
                )
            if len(job) + len(value.get("grammar", "")) <= MAX_REMEMBERED:
                self._grammars[job] = value
        else:
            self._grammars.move_to_end(job)
        while len(self._grammars) > REMEMBERED:
            self._grammars.popitem(last=False)
        if "refused" in value:
            raise BadRequest(value["refused"], asked[value["at"]].param)
        return str(value["grammar"])

    async def valid(self, asked: Sequence[SchemaJob]) -> None:
        """Raises BadRequest for a schema that no finished text could be held against."""
        _check_sizes(asked)
        job = orjson.dumps({"do": "valid", "asked": [{"schema": one.schema, "name": one.name} for one in asked]})
        said = await self._do(job)
        if said is None:
            raise BadRequest(f"{_subject(asked[0])} takes too long to read; make it simpler.", asked[0].param)
        if "refused" in said:
            raise BadRequest(said["refused"], asked[said["at"]].param)

    async def check(self, schema: Any, text: str, what: str = "The answer") -> None:
        """Raises SchemaBroken for a finished text that is not JSON that matches the schema."""
        said = await self._do(orjson.dumps({"do": "check", "schema": schema, "text": text}))
        wrong = "it could not be checked in time" if said is None else said["wrong"]
        if wrong is not None:
            raise SchemaBroken(
                f"{what} does not match the JSON Schema: {wrong}. Ask again, or ask for something simpler."
            )

    async def close(self) -> None:
        """Ends the process, and with it the job that it may be at. Safe to call twice."""
        self._closed = True
        await self._end()

    async def _do(self, job: bytes) -> dict[str, Any] | None:
        """The result of a job; None for one that took too much."""
        async with self._turn:
            process = await self._running()
            if self._closed:
                await self._end()
                raise EngineUnavailable("The server is shutting down.")
            assert process.stdin is not None
            assert process.stdout is not None
            line = b""
            try:
                process.stdin.write(job + b"\n")
                with contextlib.suppress(ConnectionError, TimeoutError):
                    async with asyncio.timeout(WALL_SECONDS):
                        await process.stdin.drain()
                        line = await process.stdout.readline()
            finally:
                if not line.endswith(b"\n"):  # lost; or nobody waits any more, and its result would be the next one's
                    await self._end()
            if self._closed:
                raise EngineUnavailable("The server is shutting down.")
            if not line.endswith(b"\n"):
                return None
            data: dict[str, Any] = orjson.loads(line)
            return data

    async def _running(self) -> asyncio.subprocess.Process:
        if self._closed:
            raise EngineUnavailable("The server is shutting down.")
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "clearseek.inference.schema_child",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=MAX_LINE,
                start_new_session=True,  # Ctrl-C in the terminal is for us
            )
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)  # asyncio's own looks whether it still lives, and reaps it
            if process.stdin is not None:
                process.stdin.close()
            await process.wait()


def _check_sizes(asked: Sequence[SchemaJob]) -> None:
    """Raises BadRequest for a schema that is too big to be sent there."""
    for one in asked:
        try:
            check_size(one.schema)
        except Refused as refused:
            raise BadRequest(refused.sentence(_subject(one)), one.param) from None


def _subject(asked: SchemaJob) -> str:
    return "The JSON Schema" if asked.name is None else f"The schema of the `parameters` of the tool `{asked.name}`"
