"""The engine's own grammar compiler, asked directly: the library that the child runs, and no other version of it.

llama.cpp tells nobody when llguidance refuses a grammar: it logs the reason and writes without one. The wheel's library
exports llguidance's C functions, so the same code is called here, before anything is promised. Only in a process that
may be lost (schema_child.py): a schema from a stranger is compiled.
"""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

VOCABULARY = 257
"""Every byte, and the end of the text: what compiles does not depend on the tokens of a model."""
_END = 256
ROOM = 64
"""Spare bytes behind every struct, for fields that a later version may add at its end."""


class NoCompiler(Exception):
    """This build of the engine does not let its grammar compiler be asked."""


class _Limits(ctypes.Structure):
    _fields_ = (
        ("max_items_in_row", ctypes.c_size_t),
        ("initial_lexer_fuel", ctypes.c_uint64),
        ("step_lexer_fuel", ctypes.c_uint64),
        ("step_max_items", ctypes.c_size_t),
        ("max_lexer_states", ctypes.c_size_t),
        ("max_grammar_size", ctypes.c_size_t),
        ("precompute_large_lexemes", ctypes.c_bool),
    )


class _Init(ctypes.Structure):
    _fields_ = (
        ("tokenizer", ctypes.c_void_p),
        ("log_buffer_level", ctypes.c_uint32),
        ("log_stderr_level", ctypes.c_uint32),
        ("ff_tokens_ok", ctypes.c_bool),
        ("backtrack_ok", ctypes.c_bool),
        ("limits", _Limits),
        ("room", ctypes.c_char * ROOM),
    )


class _TokenizerInit(ctypes.Structure):
    _fields_ = (
        ("vocab_size", ctypes.c_uint32),
        ("tok_eos", ctypes.c_uint32),
        ("token_lens", ctypes.c_void_p),
        ("token_bytes", ctypes.c_void_p),
        ("tokenizer_json", ctypes.c_char_p),
        ("tokenize_assumes_string", ctypes.c_bool),
        ("tokenize_fn", ctypes.c_void_p),
        ("use_approximate_greedy_tokenize_fn", ctypes.c_bool),
        ("tokenize_user_data", ctypes.c_void_p),
        ("slices", ctypes.c_void_p),
        ("room", ctypes.c_char * ROOM),
    )


def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("xllamacpp")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("xllamacpp*")):
            if path.suffix in (".so", ".pyd", ".dylib"):
                return ctypes.CDLL(str(path))
    raise NoCompiler("the engine's library was not found")


class Compiler:
    """llguidance with a vocabulary of bytes. Raises NoCompiler where the library does not have it."""

    def __init__(self) -> None:
        try:
            self._lib = _library()
            _declare(self._lib)
        except (OSError, AttributeError) as error:
            raise NoCompiler(str(error)) from None
        end = b"\xff[END]"  # the mark of a special token comes before its name
        lengths = (ctypes.c_uint32 * VOCABULARY)(*([1] * 256), len(end))
        texts = (ctypes.c_uint8 * (256 + len(end)))(*range(256), *end)
        init = _TokenizerInit(
            vocab_size=VOCABULARY,
            tok_eos=_END,
            token_lens=ctypes.addressof(lengths),
            token_bytes=ctypes.addressof(texts),
            use_approximate_greedy_tokenize_fn=True,
        )
        reason = ctypes.create_string_buffer(1024)
        tokenizer = self._lib.llg_new_tokenizer(ctypes.byref(init), reason, len(reason))
        if not tokenizer:
            raise NoCompiler(reason.value.decode("utf-8", "replace"))
        self._init = _Init()
        self._lib.llg_constraint_init_set_defaults(ctypes.byref(self._init), tokenizer)
        self._init.log_stderr_level = 0

    def refusal(self, grammar: str, opened: str = "") -> str | None:
        """Why the engine would write without this grammar; None where it holds to it.

        Compiled, and asked which bytes may come first: some grammars fail only there. `opened` is text to read before
        that, where the grammar allows it.
        """
        matcher = self._lib.llg_new_matcher(ctypes.byref(self._init), b"lark", grammar.encode())
        try:
            for byte in opened.encode():
                if self._lib.llg_matcher_get_error(matcher) or not self._allows(matcher, byte):
                    break
                self._lib.llg_matcher_consume_token(matcher, byte)
            if not self._lib.llg_matcher_get_error(matcher):
                self._lib.llg_matcher_compute_mask(matcher)
            error = self._lib.llg_matcher_get_error(matcher)
            return None if error is None else _first_sentence(error.decode("utf-8", "replace"))
        finally:
            self._lib.llg_free_matcher(matcher)

    def _allows(self, matcher: int, byte: int) -> bool:
        if self._lib.llg_matcher_compute_mask(matcher) != 0:
            return False
        mask = self._lib.llg_matcher_get_mask(matcher)
        return bool(mask[byte // 32] >> (byte % 32) & 1)


def _declare(lib: ctypes.CDLL) -> None:
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    lib.llg_new_tokenizer.argtypes = [pointer, text, ctypes.c_size_t]
    lib.llg_new_tokenizer.restype = pointer
    lib.llg_constraint_init_set_defaults.argtypes = [pointer, pointer]
    lib.llg_constraint_init_set_defaults.restype = None
    lib.llg_new_matcher.argtypes = [pointer, text, text]
    lib.llg_new_matcher.restype = pointer
    lib.llg_matcher_get_error.argtypes = [pointer]
    lib.llg_matcher_get_error.restype = text
    lib.llg_matcher_compute_mask.argtypes = [pointer]
    lib.llg_matcher_get_mask.argtypes = [pointer]
    lib.llg_matcher_get_mask.restype = ctypes.POINTER(ctypes.c_uint32)
    lib.llg_matcher_consume_token.argtypes = [pointer, ctypes.c_uint32]
    lib.llg_free_matcher.argtypes = [pointer]
    lib.llg_free_matcher.restype = None


def _first_sentence(error: str) -> str:
    """The reason, without the state of the parser that may follow it."""
    sentence = error.split("\n", 1)[0].strip().rstrip(".")
    return "nothing matches it" if sentence == "NoExtensionBias" else sentence
