"""The verifier `math` against pairs whose right verdict is known by exact arithmetic, made from seeds."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from fractions import Fraction

import pytest

from clearseek.tasks.verifiers import Verifier, verdict, verifier
from clearseek.tasks.verifiers.math_parser import Node, read
from clearseek.tasks.verifiers.math_tokens import NotUnderstood
from clearseek.tasks.verifiers.mathematics import math_verifier

sympy = pytest.importorskip("sympy")


@pytest.fixture(scope="module")
def check() -> Verifier:
    return verifier("math")


def decimal(value: Fraction, places: int) -> str:
    """Of a value with a finite decimal of so many places."""
    scaled = value * 10**places
    assert scaled.denominator == 1
    digits = f"{abs(scaled.numerator):0{places + 1}d}"
    text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
    return f"-{text}" if value < 0 else text


def written(value: Fraction, rng: random.Random) -> list[str]:
    """Ways to write a number that are one number, worked out."""
    top, bottom = value.numerator, value.denominator
    sign = "-" if value < 0 else ""
    found = []
    if bottom == 1:
        found += [str(top), f"{top}.0", f"${top}$", rf"\boxed{{{top}}}", f"**{top}**", f"x = {top}"]
        if abs(top) >= 1000:
            found += [f"{top:,}", f"{top:,}".replace(",", "{,}")]
    else:
        k = rng.randint(2, 9)
        found += [f"{top}/{bottom}", rf"{sign}\frac{{{abs(top)}}}{{{bottom}}}", rf"\dfrac{{{top}}}{{{bottom}}}"]
        found += [f"{top * k}/{bottom * k}"]
        if abs(top) > bottom:
            whole, rest = divmod(abs(top), bottom)
            found += [rf"{sign}{whole}\frac{{{rest}}}{{{bottom}}}", f"{sign}{whole} {rest}/{bottom}"]
    places = next((n for n in range(31) if 10**n % bottom == 0), None)
    if places is not None:
        found += [decimal(value, places), decimal(value, places + 1)]
        if abs(value) < 1 and value:
            found.append(decimal(value, max(1, places)).replace("0.", "."))
    return found


def numbers(seed: int, count: int) -> Iterator[tuple[Fraction, random.Random]]:
    rng = random.Random(seed)
    for _ in range(count):
        kind = rng.randrange(5)
        if kind == 0:
            value = Fraction(rng.randint(-(10**6), 10**6))
        elif kind == 1:
            value = Fraction(rng.randint(-300, 300), rng.randint(1, 60))
        elif kind == 2:
            value = Fraction(rng.randint(-(10**9), 10**9), 10 ** rng.randint(1, 20))
        elif kind == 3:
            value = Fraction(rng.randint(1, 99), 10 ** rng.randint(6, 25))
        else:
            value = Fraction(rng.randint(10**20, 10**25))
        yield value, rng


def near(value: Fraction, rng: random.Random) -> list[Fraction]:
    """Other numbers that a careless comparison takes for this one."""
    size = abs(value) or Fraction(1)
    return [
        value + size / 10 ** rng.randint(6, 18),
        value - size / 10**7,
        -value if value else Fraction(1, 10**12),
        value * 10,
        value / 10,
        value + 1,
        Fraction(round(value * 10**6), 10**6) if (value * 10**6).denominator != 1 else value + Fraction(1, 10**9),
    ]


def test_numbers_are_right_however_written_and_their_neighbours_wrong(check: Verifier) -> None:
    right = wrong = 0
    for value, rng in numbers(1, 400):
        ways = written(value, rng)
        reference = rng.choice([way for way in ways if not way.startswith(("x", "$", "*", "\\b"))])
        for way in ways:
            assert check(reference, way, {}) == (1.0, "right"), (reference, way, check(reference, way, {}))
            right += 1
        for other in near(value, rng):
            if other == value:
                continue
            for way in written(other, rng):
                assert check(reference, way, {})[0] == 0.0, (reference, way)
                wrong += 1
    assert right > 2000
    assert wrong > 8000


def test_work_that_is_left_to_do_earns_nothing_and_with_expression_it_does(check: Verifier) -> None:
    rng = random.Random(2)
    for _ in range(150):
        a, b = rng.randint(2, 99), rng.randint(2, 99)
        echoes = [
            (a * b, f"{a}*{b}"), (a * b, rf"{a}\cdot{b}"), (a * b, rf"{a} \times {b}"), (a * b, f"({a})({b})"),
            (a + b, f"{a}+{b}"), (a - b, f"{a}-{b}"), (a, f"{a * b}/{b}"), (a, rf"\frac{{{a * b}}}{{{b}}}"),
            (a, f"{a}+0"), (a, f"0+{a}"), (a, f"{a}/1"), (a, f"{a}^1"), (a, rf"\sqrt{{{a * a}}}"), (a, f"|{a}|"),
            (a, f"sqrt({a * a})"), (a, rf"\binom{{{a}}}{{1}}"), (a, f"{a}*1"), (a, f"-(-{a})"), (6, "3!"),
            (a, rf"\log_{{10}}{{10^{{{a}}}}}"), (a, rf"{a}\cdot e^0"), (a, rf"\frac{{{a}\pi}}{{\pi}}"), (8, "2^3"),
            (0, r"\sin(0)"), (a, f"x = {a * b}/{b}"),
        ]  # fmt: skip
        for value, echo in echoes:
            accuracy, why = check(str(value), echo, {})
            assert accuracy == 0.0, (value, echo)
            assert why.startswith("refused")
        for value, echo in echoes[:2] + echoes[4:9]:
            assert check(str(value), echo, {"expression": True}) == (1.0, "right"), (value, echo)
        assert check(str(a * b + 1), f"{a}*{b}", {"expression": True})[0] == 0.0


@pytest.mark.slow
def test_formulas_against_sympy_by_other_means(check: Verifier) -> None:
    """References with roots and unknowns, mutated: the verdict is sympy's own, of what the pair was made from."""
    rng = random.Random(3)
    x = sympy.Symbol("x", real=True)
    right = wrong = 0
    for _ in range(120):
        a, b, c = rng.randint(2, 9), rng.choice([2, 3, 5, 6, 7, 10]), rng.randint(1, 9)
        root = sympy.sqrt(b)
        exact = [
            (rf"{a}\sqrt{{{b}}}", a * root), (rf"\sqrt{{{a * a * b}}}", a * root),
            (rf"{a}\sqrt{{{b}}}+{c}", a * root + c),
            (rf"\frac{{{c}}}{{\sqrt{{{b}}}}}", c / root), (rf"\frac{{{c}\sqrt{{{b}}}}}{{{b}}}", c * root / b),
            (f"{a}x+{c}", a * x + c), (f"{c}+{a}x", a * x + c), (f"{a}(x+{c})", a * x + a * c),
            (f"{a}x+{a * c}", a * x + a * c), (f"(x+{a})(x-{c})", (x + a) * (x - c)), (rf"{a}\pi", a * sympy.pi),
            (rf"\frac{{{a}}}{{x}}", a / x), (rf"{c}-\sqrt{{{b}}}", c - root), (rf"\sqrt{{{b}}}-{c}", root - c),
            (f"x^{{{a}}}", x**a), (f"x^{{{a + 1}}}", x ** (a + 1)),
            (rf"{a}.0000001\sqrt{{{b}}}", a * root + root / 10**7),
        ]  # fmt: skip
        for reference, ours in rng.sample(exact, 4):
            for answer, theirs in rng.sample(exact, 6):
                accuracy, why = check(reference, answer, {})
                if sympy.simplify(ours - theirs) == 0:
                    right += 1
                    assert accuracy == 1.0 or why.startswith("refused"), (reference, answer, why)
                else:
                    wrong += 1
                    assert accuracy == 0.0, (reference, answer)
    assert right > 150
    assert wrong > 1500


MUTATIONS = (
    *(
        "{} +",
        "{} -",
        "{} ^",
        "{}_5",
        "{}''",
        "{}&5",
        r"{}\times",
        r"{}\cdot\cdot5",
        r"{}\div",
        "{} *",
        "{} /",
        "{}^{{}}",
    ),
    *(
        r"{}\sqrt(2)",
        r"{}\sqrt(9)",
        r"{}\frac(1)(2)",
        r"{}\sin()",
        r"{} \\ 5",
        "{} 5",
        "{}; 5",
        "{}, 5",
        "{}=5",
        "{}|5",
    ),
    *("{}..", "{}!!", "{})", "({}", "{}]", "{}}}", r"{}\text{{ or }}5", r"{}\quad 5", r"{}\&5", r"\{{{}\}}", "[{}]"),
    *("{} \\pm 0.1", r"{}\%", "{}%", r"{}^\circ", r"{}\unknown", "{}:5", "{}~5", r"\frac{{{}}}{{}}", r"\sqrt[]{{{}}}"),
    *("{}e", "{}i", "{}x", "x{}", "{}^", "{}\\", "{}\\\\", r"\begin{{pmatrix}}{}\end{{pmatrix}}", "{}'", "?{}", "~{}"),
    *(r"{}\approx 5", r"{}\neq 5", "{}<5", r"\in {}", "={}", "{}=", "+-{}", "--{}", r"{}\infty", r"\int {}", "{}#5"),
)


@pytest.mark.parametrize("reference", ["4", r"\frac{3}{4}", "0.25", r"2\sqrt{3}", "x+1", r"\pi", r"\frac{1}{2^{99}}"])
def test_a_tail_that_cannot_be_read_is_not_passed_over(check: Verifier, reference: str) -> None:
    assert check(reference, reference, {}) == (1.0, "right")
    for mutation in MUTATIONS:
        answer = mutation.format(reference)
        assert check(reference, answer, {})[0] == 0.0, answer


def test_every_answer_cut_short_anywhere_is_wrong(check: Verifier) -> None:
    """A prefix of an answer is never the answer, whatever it can be read as."""
    for reference in (r"\frac{12}{35}", r"1+\sqrt{2}", "123456", "0.0625", r"(1, 2)", r"\{1, 2, 3\}", "x^{2}+3x"):
        for end in range(1, len(reference)):
            accuracy, why = check(reference, reference[:end], {})
            assert accuracy == 0.0 or reference[:end].rstrip(" .,") == reference, (reference, reference[:end], why)


BOMBS = (
    *("9^{9^{9}}", "9**9**9", "10^{10^{10}}", "99999!", "((9!)!)!", "(3!)!^{99999}", r"\binom{9999999}{4999999}"),
    *(
        "2^{99999999999999}",
        "x^{99999999999}",
        "(x+1)^{999999}",
        "(1+x+x^2)^{300}",
        r"\sqrt[99999]{2}",
        "e^{e^{e^{e^{9}}}}",
    ),
    *("(((((x+1)^9)^9)^9)^9)^9", r"\sin(10^{9999})", "1" * 300, "0." + "1" * 300, "1e99999999", r"\log_{1}{5}", "1/0"),
    *("(" * 200 + "4" + ")" * 200, "{" * 150 + "4" + "}" * 150, "-" * 300 + "4", r"\sqrt{" * 50 + "4" + "}" * 50),
    *("4" + "+0" * 190, "x" * 399, "|" * 300, "4" + "!" * 300, r"\frac1" * 60, "4" + "^2" * 150, r"\pm" * 100 + "4"),
    *("1,2,3,4,5,6,7,8,9," * 20 + "0", r"4\cdot 10^{99999999}", r"0.\overline{" + "3" * 300 + "}", "\x00" * 50),
)


@pytest.mark.slow
def test_no_answer_takes_longer_than_its_bound(check: Verifier) -> None:
    check(r"\sqrt{2}+1", r"1+\sqrt{2}", {})  # starts the child
    for reference in ("4", r"\sqrt{2}+x"):
        for bomb in BOMBS:
            started = time.perf_counter()
            assert check(reference, bomb, {})[0] == 0.0, bomb[:60]
            assert time.perf_counter() - started < 20, bomb[:60]  # 3 s of its own, and a new child on a busy machine


def test_the_question_again_earns_nothing_where_the_question_is_known(check: Verifier) -> None:
    asked = {"prompt": "Expand $(x+1)^2$ and write the sum."}
    assert check("x^2+2x+1", "(x+1)^2", {}) == (1.0, "right")
    assert check("x^2+2x+1", "(x + 1)^{2}", {}) == (1.0, "right")
    assert check("x^2+2x+1", "(x+1)^2", asked) == (0.0, "refused: the question again")
    assert check("x^2+2x+1", "1+2x+x^2", asked) == (1.0, "right")
    assert check("(x+1)^2", "(x+1)^2", asked) == (1.0, "right")
    for name in ("math", "numeric"):
        simplify = {"prompt": "Write 6/8 in lowest terms."}
        assert verdict(verifier(name), "3/4", "6/8", simplify)[0] == 0.0
        assert verdict(verifier(name), "3/4", "3/4", simplify)[0] == 1.0
        assert verdict(verifier(name), "0.375", "3/8", {"prompt": "What is 3 divided by 8?"})[0] == 0.0
        assert verdict(verifier(name), "0.375", "3/8", {})[0] == 1.0


@pytest.mark.parametrize(
    "text",
    ["1/2x", "x_12", "2 3", "2x3", "x^2^3", r"\sqrt12", "2\\frac{3}{2}", "1 3/2", "012", "1 2/3 x", r"\sin^{-1} x",
     "4_5", r"\frac{1}{2}3", "a'", "x|y", r"\sin x (x+1)", "2--3", "2*-3", "{}", "()", "[1,2"],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_not_read(text: str) -> None:
    with pytest.raises(NotUnderstood):
        read(text)


def test_mixed_numbers_are_sums_and_powers_take_their_braces() -> None:
    assert read("1 1/2") == read(r"1\frac{1}{2}") == Node("number", (), Fraction(3, 2))
    assert read("x^10") == read("x^{10}")
    assert read(r"\frac12") == read(r"\frac{1}{2}")
    assert read("1,234") == read("1234") == read("1{,}234")
    assert read("(1,234)").kind == "tuple"


def test_an_exponent_without_braces_is_one_token_and_what_follows_a_factor() -> None:
    check = verifier("math")
    for written, is_, is_not in (
        (r"x^2\frac12", r"\frac{x^2}{2}", "x^{5/2}"),
        (r"x^-1\frac12", r"\frac{1}{2x}", "x^{-3/2}"),
    ):
        assert check(is_, written, {}) == (1.0, "right")
        assert check(is_not, written, {}) == (0.0, "wrong")


def test_what_is_not_decided_in_time_earns_nothing_and_numbers_need_no_time() -> None:
    hurried = math_verifier(0.0)
    assert hurried(r"\sqrt{2}+1", r"1+\sqrt{2}", {}) == (0.0, "too slow")
    assert hurried("0.5", r"\frac12", {}) == (1.0, "right")
