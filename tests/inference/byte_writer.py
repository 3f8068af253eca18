"""Texts that the engine's own grammar compiler allows, written byte by byte at random: a model that knows nothing.

It tries corners that no real model goes to, thousands of them in a second.
"""

from __future__ import annotations

import ctypes
import random

from clearseek.inference.llguidance import VOCABULARY, Compiler
from clearseek.inference.schema_child import text_of

END = VOCABULARY - 1


class ByteWriter:
    def __init__(self) -> None:
        self.compiler = Compiler()

    def refuses(self, schema: dict[str, object]) -> bool:
        """Whether the engine would not hold to a rewritten schema."""
        return self.compiler.refusal(text_of(schema)) is not None

    def write(self, schema: dict[str, object], seed: int, limit: int = 250) -> str | None:
        """A whole text that the grammar of a rewritten schema allows; None where none ended within `limit` bytes.

        Raises AssertionError where the engine gives its grammar up in the middle.
        """
        lib, draw, out = self.compiler._lib, random.Random(seed), bytearray()
        hurry = draw.random()
        matcher = lib.llg_new_matcher(ctypes.byref(self.compiler._init), b"lark", text_of(schema).encode())
        try:
            assert lib.llg_matcher_get_error(matcher) is None
            while len(out) < limit:
                assert lib.llg_matcher_compute_mask(matcher) == 0, lib.llg_matcher_get_error(matcher)
                mask = lib.llg_matcher_get_mask(matcher)
                may = [token for token in range(VOCABULARY) if mask[token // 32] >> (token % 32) & 1]
                assert may
                if END in may and (len(may) == 1 or draw.random() < 0.5):
                    return out.decode()
                bytes_ = [token for token in may if token != END]
                closing = [token for token in bytes_ if chr(token) in '"}]']
                plain = [token for token in bytes_ if 32 <= token < 127]
                if closing and draw.random() < 0.3 + 0.4 * hurry:
                    token = draw.choice(closing)
                else:
                    token = draw.choice(plain if plain and draw.random() < 0.85 else bytes_)
                out.append(token)
                lib.llg_matcher_consume_token(matcher, token)
            return None
        finally:
            lib.llg_free_matcher(matcher)
