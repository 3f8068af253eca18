"""A value that came out of the sandbox, as text of bounded length."""

from __future__ import annotations

import reprlib
from typing import Any


def shown(value: Any, most: int) -> str:
    """As a notebook shows it, but a text without its quotes; "" for None. At most about `most` characters are made,
    however large the value is."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value[: most + 1]
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 14_000:
        return f"a number of about {int(value.bit_length() * 0.30103):,} digits"
    return _Repr(most).repr(value)


class _Repr(reprlib.Repr):
    def __init__(self, most: int) -> None:
        super().__init__()
        self.maxlevel = 20
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = self.maxdeque = most
        self.maxstring = self.maxlong = self.maxother = most
        self._left = most

    def repr1(self, x: Any, level: int) -> str:
        """Nested values share one bound: a list of long lists is no longer than one of them."""
        if self._left <= 0:
            return self.fillvalue
        text: str = super().repr1(x, level)
        if not isinstance(x, list | tuple | set | frozenset | dict):
            self._left -= len(text) + 2
        return text

    def repr_MontyClassProxy(self, x: Any, level: int) -> str:
        return f"<{x.name} object>"

    def repr_MontyStdTypeProxy(self, x: Any, level: int) -> str:
        return f"<built-in {x.name}>"
