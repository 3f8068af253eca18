"""Arithmetic written out as a small model can do it: one column, one memorised fact at a time.

A model of a hundred million parameters does not add 347 and 285 in one go: it would have to know a carry before the
column that makes it. In columns from the right each step is a sum of two digits and perhaps a carried 1, of which
there are two hundred, and all that is left is to read the digits back. The same few facts serve every task, so every
task teaches them to the others. SmolLM2's tokeniser makes each digit a token, and a space before a digit another.
"""

from __future__ import annotations


def add(a: int, b: int) -> str:
    """`a+b` for numbers not below 0: `7+5=12`, or `47+85: 7+5=12 4+8+1=13 -> 132`."""
    if a < 10 and b < 10:
        return f"{a}+{b}={a + b}"
    return f"{a}+{b}: {' '.join(_add_columns(a, b))} -> {a + b}"


def _add_columns(a: int, b: int) -> list[str]:
    columns, carry = [], 0
    while a or b:
        parts = [str(n % 10) for n in (a, b) if n]
        total = a % 10 + b % 10 + carry
        if carry:
            parts.append("1")
        columns.append(parts[0] if len(parts) == 1 else f"{'+'.join(parts)}={total}")
        a, b, carry = a // 10, b // 10, total // 10
    return columns


def subtract(a: int, b: int) -> str:
    """`a-b` for `a` not below `b`: `15-7=8`, or `52-37: 2<7 12-7=5 5~4 4-3=1 -> 15`. That a figure is too small is said
    before it borrows, and what the next one is after that (`5~4`; a 0 borrows in turn: `0~9`) has a step of its own."""
    if a < 20 and b < 10:
        return f"{a}-{b}={a - b}"
    return f"{a}-{b}: {' '.join(_subtract_columns(a, b))} -> {a - b}"


def _subtract_columns(a: int, b: int) -> list[str]:
    columns, borrowed = [], False
    while a:
        top, bottom, column = a % 10, b % 10, ""
        if borrowed:
            column = f"{top}~{(top - 1) % 10}"
            top -= 1
        borrowed = top < bottom
        if borrowed and top >= 0:
            column = (column or str(top)) + f"<{bottom}"
        top += 10 * borrowed
        if b:
            column += f" {top}-{bottom}={top - bottom}"
        elif not column and (a >= 10 or top):
            column = str(top)
        if column:
            columns.append(column.strip())
        a, b = a // 10, b // 10
    return columns


def times_digit(a: int, digit: int, zeros: str = "") -> str:
    """`47*6: 7*6=42 4*6=24 24+4=28 -> 282`: digit by digit, each product with what the one before carries.
    With `zeros`, these stand behind the digit and the result."""
    if a < 10 or digit == 1:
        return f"{a}*{digit}{zeros}={a * digit}{zeros}"
    columns, carry, rest = [], 0, a
    while rest:
        product = rest % 10 * digit
        columns.append(f"{rest % 10}*{digit}={product}")
        if carry:
            columns.append(f"{product}+{carry}={product + carry}")
        carry, rest = (product + carry) // 10, rest // 10
    return f"{a}*{digit}{zeros}: {' '.join(columns)} -> {a * digit}{zeros}"


def times(a: int, b: int) -> list[str]:
    """Lines of `a*b` for `b` up to 99: one product for each digit of `b` that is not 0, and their sum."""
    ones, tens = b % 10, b // 10
    lines = [times_digit(a, ones)] if ones or not tens else []
    if tens:
        lines.append(times_digit(a, tens, "0"))
    if tens and ones and a:
        lines.append(add(a * tens * 10, a * ones))
    return lines


def divide(a: int, b: int) -> list[str]:
    """Lines that find `a/b`, whole and at most 99: tens by a product that is taken away, ones by counting multiples,
    from the fifth where it is not too much. What is found is the tens and the last number counted."""
    lines, rest, tens = [], a, a // b // 10
    if tens:
        lines.append(f"{b}*{tens}0={b * tens * 10}")
        rest = a - b * tens * 10
        if rest:
            lines.append(subtract(a, b * tens * 10))
    ones = rest // b
    if ones:
        lines.append(" ".join(f"{n}:{n * b}" for n in range(5 if ones >= 5 else 1, ones + 1)))
    return lines


def divide_digits(a: int, digit: int) -> str:
    """`594/3: 1r2 9r2 8 -> 198`: from the left, figure by figure; what is left goes in front of the next figure.

    Halves and fifths are written at once: their figures follow from two neighbouring ones, without a chain.
    """
    rest = a % digit
    result = f"{a // digit}" + (f"r{rest}" if rest else "")
    if a < 10 * digit or digit in (2, 5, 10):
        return f"{a}/{digit}={result}"
    columns: list[str] = []
    left = 0
    for figure in map(int, str(a)):
        now = left * 10 + figure
        left = now % digit
        if columns or now >= digit:
            columns.append(f"{now // digit}" + (f"r{left}" if left else ""))
    return f"{a}/{digit}: {' '.join(columns)} -> {result}"
