"""An arithmetic expression over given numbers that hits a target: a parser of its own, no eval, exact fractions."""

from __future__ import annotations

import ast
import re
from fractions import Fraction

from clearseek.tasks.verifiers.answer_bounds import RIGHT, Options, Refusal, Verdict, normalised, refused

MAX_LENGTH = 160
_ALLOWED = re.compile(r"[0-9+\-*/() ]+", re.ASCII)


class _NotAllowed(Exception):
    pass


def countdown(reference: str, answer: str, options: Options) -> Verdict:
    """`options["numbers"]` and `options["target"]` are the problem. Every number is used, each exactly once.

    `+ - * /` and brackets between whole numbers, nothing more: floor division, powers, signs before a number, bit
    operations and digits put together are refused. So is an answer with `=`.
    """
    try:
        numbers = sorted(int(number) for number in options["numbers"])
        target = Fraction(options["target"])
    except (KeyError, TypeError, ValueError):
        return 0.0, "the problem has no `numbers` and `target`"
    try:
        text = normalised(answer, MAX_LENGTH)
    except Refusal as refusal:
        return refusal.verdict
    if not _ALLOWED.fullmatch(text):
        return refused("more than numbers, + - * / and brackets")
    if "**" in text or "//" in text:
        return refused("powers and floor division are not among the four operations")
    used: list[int] = []
    try:
        value = _value(ast.parse(text, mode="eval").body, used)
    except ZeroDivisionError:
        return 0.0, "wrong: a division by zero"
    except _NotAllowed as error:
        return refused(str(error))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return refused("not an expression")
    if sorted(used) != numbers:
        return 0.0, "wrong: other numbers than the ones given"
    return RIGHT if value == target else (0.0, "wrong: it comes to something else")


def _value(node: ast.expr, used: list[int]) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        used.append(node.value)
        return Fraction(node.value)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, used), _value(node.right, used)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div():
                return left / right
    raise _NotAllowed("only + - * / between whole numbers")
