"""The tokens of mathematics, plain or in LaTeX."""

from __future__ import annotations

import re

FUNCTIONS = (
    *("arcsin", "arccos", "arctan", "sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh"),
    *("ln", "log", "exp"),
)
GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "theta", "lambda", "mu", "rho", "sigma", "tau", "phi", "varphi"),
    *("omega", "Delta", "Omega", "ell"),
)
_PLAIN_NAMES = ("arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "sqrt", "exp", "log", "sin", "cos", "tan", "ln")
_UNICODE = {
    "\u2212": "-", "\u00d7": r"\times ", "\u00b7": r"\cdot ", "\u00f7": "/", "\u03c0": r"\pi ", "\u221a": r"\sqrt ",
    "\u2264": r"\le ", "\u2265": r"\ge ", "\u221e": r"\infty ", "\u2205": r"\emptyset ", "\u222a": r"\cup ",
    "\u00b0": r"^\circ ", "\u00b2": "^2", "\u00b3": "^3", "\u00b1": r"\pm ", "\u2026": r"\ldots ",
}  # fmt: skip
_SAME = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "leq": "le", "leqslant": "le", "geq": "ge", "geqslant": "ge",
    "neq": "ne", "varnothing": "emptyset", "times": "*", "cdot": "*", "div": "/", "dots": "ldots", "cdots": "ldots",
    "%": "%", "lbrace": "{", "rbrace": "}", "dbinom": "binom", "tbinom": "binom", "vert": "|", "mid": "|",
}  # fmt: skip
_SPACES = frozenset({",", ";", ":", "!", " ", "quad", "qquad", "left", "right", "displaystyle", "big", "bigl", "bigr"})
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf|operatorname|mbox)\{([^{}\\]*)\}")
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>(?:[0-9]{1,3}(?:(?:\{,\}|\\,|\\!,)[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:\.?\\(?:overline|dot)\{[0-9]+\})?"
    r"|\.[0-9]+)"
    r"|(?P<command>\\(?:[A-Za-z]+|[^A-Za-z]))"
    r"|(?P<name>" + "|".join(_PLAIN_NAMES) + r"|pi)(?![A-Za-z])"
    r"|(?P<mark>\*\*|<=|>=|!=|\.\.\.|[A-Za-z+\-*/^_=<>()\[\]{}|!,;%&'])",
    re.ASCII,
)


class NotUnderstood(Exception):
    """The text is no mathematics that is read here, and why."""


def tokens_of(text: str, *, strict: bool = True) -> list[str]:
    """The tokens of a text, spaces, `\\left` and `\\right` apart. Raises NotUnderstood; not `strict`: a character that
    is none of mathematics is a token of its own."""
    for char, plain in _UNICODE.items():
        text = text.replace(char, plain)
    text = _TEXT.sub(r" \1 ", text)
    tokens: list[str] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if strict:
                raise NotUnderstood(f"the character {text[at]!r}")
            tokens.append(text[at])
            at += 1
            continue
        at = match.end()
        if match["space"]:
            continue
        token = match[0]
        if match["command"]:
            name = token[1:]
            if name in _SPACES:
                continue
            same = _SAME.get(name, name)
            token = same if same in ("*", "/", "%", "|") else f"\\{same}"
        elif match["name"]:
            token = f"\\{token}"
        elif token == "**":
            token = "^"
        elif token in ("<=", ">=", "!="):
            token = {"<=": "\\le", ">=": "\\ge", "!=": "\\ne"}[token]
        elif token == "...":
            token = "\\ldots"
        tokens.append(token)
    return tokens
