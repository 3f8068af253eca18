"""Sums, averages, per cent, remainders: what is asked of a calculator, in people's words."""

from __future__ import annotations

import random
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from clearseek.tasks.plain.kind import Kind, in_words, lines, listed

Drawn = tuple[dict[str, Any], Any]


def two_places(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP)


def _sum(rng: random.Random) -> Drawn:
    a, b = rng.randint(11, 2999), rng.randint(11, 999)
    return {"a": a, "b": b, "aw": in_words(a), "bw": in_words(b)}, a + b


def _difference(rng: random.Random) -> Drawn:
    b = rng.randint(11, 900)
    a = b + rng.randint(5, 2000)
    return {"a": a, "b": b, "aw": in_words(a), "bw": in_words(b)}, a - b


def _product(rng: random.Random) -> Drawn:
    a, b = rng.randint(3, 999), rng.randint(3, 99)
    return {"a": a, "b": b, "aw": in_words(a), "bw": in_words(b)}, a * b


def _quotient(rng: random.Random) -> Drawn:
    b, q = rng.randint(3, 60), rng.randint(3, 300)
    return {"a": b * q, "b": b, "aw": in_words(b * q), "bw": in_words(b)}, q


def _remainder(rng: random.Random) -> Drawn:
    a, b = rng.randint(30, 2000), rng.randint(3, 60)
    return {"a": a, "b": b, "aw": in_words(a)}, a % b


def _power(rng: random.Random) -> Drawn:
    a, n = rng.choice([(rng.randint(12, 99), 2), (rng.randint(4, 30), 3), (2, rng.randint(7, 20))])
    return {"a": a, "n": n, "aw": in_words(a)}, a**n


def _many(rng: random.Random) -> Drawn:
    xs = [rng.randint(2, 300) for _ in range(rng.randint(3, 6))]
    return {"xs": xs, "said": listed(xs), "plus": " + ".join(map(str, xs)), "spaced": " ".join(map(str, xs))}, sum(xs)


def _average(rng: random.Random) -> Drawn:
    n = rng.randint(3, 6)
    xs = [rng.randint(2, 90) for _ in range(n)]
    xs[-1] += -sum(xs) % n
    return {"xs": xs, "said": listed(xs), "spaced": " ".join(map(str, xs)), "n": n}, sum(xs) // n


def _percent(rng: random.Random) -> Drawn:
    p, a = rng.choice([5, 8, 10, 12, 15, 18, 20, 25, 30, 35, 40, 60, 75]), rng.randint(2, 90) * 20
    return {"p": p, "a": a, "pw": in_words(p)}, Decimal(a) * p / 100


def _more(rng: random.Random) -> Drawn:
    p, a = rng.choice([5, 10, 15, 20, 25, 30, 40, 50]), rng.randint(3, 90) * 20
    return {"p": p, "a": a}, Decimal(a) * (100 + p) / 100


def _share(rng: random.Random) -> Drawn:
    b, p = rng.choice([20, 40, 60, 80, 120, 200, 260, 400]), rng.randint(1, 19) * 5
    return {"a": b * p // 100, "b": b}, p


def _order(rng: random.Random) -> Drawn:
    a, b, c, d = (rng.randint(2, 30) for _ in range(4))
    shape = rng.choice(["{a} + {b} * {c}", "({a} + {b}) * {c}", "{a} * {b} - {c} * {d}", "{d} * ({a} + {b}) - {c}"])
    value = {
        "{a} + {b} * {c}": a + b * c,
        "({a} + {b}) * {c}": (a + b) * c,
        "{a} * {b} - {c} * {d}": a * b - c * d,
        "{d} * ({a} + {b}) - {c}": d * (a + b) - c,
    }[shape]
    text = shape.format(a=a, b=b, c=c, d=d)
    return {"e": text, "ex": text.replace("*", "×"), "et": text.replace("*", "x")}, value


def _equation(rng: random.Random) -> Drawn:
    a, x, b = rng.randint(2, 15), rng.randint(2, 60), rng.randint(1, 90)
    return {"a": a, "b": b, "c": a * x + b}, x


def _two_places(rng: random.Random) -> Drawn:
    b = rng.choice([3, 6, 7, 9, 11, 13, 17])
    a = b * rng.randint(2, 80) + rng.randint(1, b - 1)
    return {"a": a, "b": b}, two_places(Decimal(a) / b)


KINDS = (
    Kind("add", "taught", "number", _sum, lines("""
        What is {a} + {b}?
        {a}+{b}
        what's {a} plus {b}
        Could you please add {a} and {b} for me?
        add {a} to {b} pls
        hey quick one, how much is {a} and {b} together?
        What is the sum of {a} and {b}?
        whats {aw} plus {bw}
        If I have {a} points and get another {b}, how many points do I have?
        {a:,} + {b:,} = ?
        waht is {a} pluss {b}?
        I counted {a} cars on Monday and {b} on Tuesday. How many were there in all?
        Was ist {a} plus {b}?
        Combien font {a} plus {b} ?
        ¿Cuánto es {a} más {b}?
        {a}加{b}等于多少？
    """), ("{a} + {b}", "x = {a}\ny = {b}\nx + y", "sum([{a}, {b}])")),
    Kind("subtract", "taught", "number", _difference, lines("""
        What is {a} - {b}?
        {a} minus {b}
        how much is {a} less {b}
        Please subtract {b} from {a}.
        take {b} away from {a}
        what's left if I take {b} from {a}? thanks!
        What is the difference between {a} and {b}?
        whats {aw} minus {bw}
        There were {a} people and {b} went home. How many are still there?
        A book has {a} pages and I have read {b}. How many pages are left?
        {a:,} - {b:,} =
        how mutch is {a} minuss {b}
        Wie viel ist {a} minus {b}?
        Combien font {a} moins {b} ?
        ¿Cuánto es {a} menos {b}?
        {a}减{b}是多少？
    """), ("{a} - {b}", "had = {a}\ngone = {b}\nhad - gone")),
    Kind("multiply", "taught", "number", _product, lines("""
        What is {a} times {b}?
        {a} * {b}
        {a} x {b} = ?
        what's {a} multiplied by {b}
        Could you multiply {a} by {b} for me, please?
        product of {a} and {b}?
        hi! need {a} times {b}, cheers
        whats {aw} times {bw}
        A box holds {b} screws. How many screws are in {a} boxes?
        There are {a} rows with {b} seats each. How many seats is that?
        multipy {a} by {b}
        {a:,} × {b}
        Was ist {a} mal {b}?
        Combien font {a} fois {b} ?
        ¿Cuánto es {a} por {b}?
        {a}乘以{b}等于多少？
    """), ("{a} * {b}", "rows = {a}\nseats = {b}\nrows * seats")),
    Kind("divide", "taught", "number", _quotient, lines("""
        What is {a} divided by {b}?
        {a} / {b}
        {a} ÷ {b} = ?
        divide {a} by {b} please
        how often does {b} go into {a}
        If {b} friends share {a} marbles equally, how many does each get?
        I want to split {a} photos into {b} equal piles, how many in each pile?
        whats {aw} divided by {bw}
        {a} cookies are packed in bags of {b}. How many bags is that?
        hi, could you work out {a} over {b}? ty
        waht is {a} devided by {b}
        {a:,} divided by {b} is?
        Was ist {a} geteilt durch {b}?
        Combien font {a} divisé par {b} ?
        ¿Cuánto es {a} dividido entre {b}?
        {a}除以{b}等于多少？
    """), ("{a} // {b}", "total = {a}\nparts = {b}\ntotal // parts")),
    Kind("divide_to_two_places", "taught", "number", _two_places, lines("""
        What is {a} divided by {b}, to two decimals?
        {a} / {b} rounded to 2 decimal places
        divide {a} by {b} and round to two places
        Please give me {a} ÷ {b} with two digits after the point.
        {a}/{b}, 2 decimals
        how much is {a} over {b}? two decimals is enough, thanks
        Work out {a} divided by {b} and round it to the nearest hundredth.
        {a} devided by {b} to 2 decimels
        What does {a} / {b} come to, rounded to two decimal places?
        quick question: {a} by {b} as a decimal, 2 places?
        Was ist {a} geteilt durch {b}, auf zwei Nachkommastellen?
        Combien font {a} / {b}, arrondi à deux décimales ?
        ¿Cuánto es {a} entre {b} con dos decimales?
        {a}除以{b}，保留两位小数是多少？
    """), ("round({a} / {b}, 2)", "x = {a} / {b}\nround(x, 2)")),
    Kind("remainder", "taught", "number", _remainder, lines("""
        What is the remainder when {a} is divided by {b}?
        {a} mod {b}
        remainder of {a} / {b}?
        what's left over if you divide {a} by {b}
        {a} eggs go into boxes of {b}. How many eggs are left over?
        I have {a} stickers and give {b} friends the same number each, as many as I can. How many do I keep?
        Please tell me what remains of {a} after dividing by {b}.
        remaindr of {a} devided by {b}
        {aw} modulo {b}, what is it
        hey so {a} split in groups of {b}, how many are over?
        Welcher Rest bleibt bei {a} geteilt durch {b}?
        Quel est le reste de {a} divisé par {b} ?
        ¿Cuál es el resto de {a} entre {b}?
        {a}除以{b}的余数是多少？
    """), ("{a} % {b}", "divmod({a}, {b})[1]", "total = {a}\ntotal % {b}")),
    Kind("power", "taught", "number", _power, lines("""
        What is {a} to the power of {n}?
        {a}^{n}
        {a}**{n}
        {a} to the {n}, please
        what do I get when I raise {a} to the power {n}
        Calculate {a} with exponent {n}.
        could you tell me {a} multiplied by itself so that there are {n} factors?
        {aw} to the power of {n}?
        whats {a} too the power of {n}
        hi there, power question: {a} hoch {n}?
        Was ist {a} hoch {n}?
        Combien font {a} puissance {n} ?
        ¿Cuánto es {a} elevado a {n}?
        {a}的{n}次方是多少？
    """), ("{a} ** {n}", "base = {a}\nbase ** {n}")),
    Kind("add_many", "taught", "number", _many, lines("""
        What is {plus}?
        {plus}
        add up {said}
        Please add these numbers: {said}.
        total of {spaced}
        sum: {said}
        hey can you add {said} for me? my calculator is dead
        How much is {said} altogether?
        I spent {said} minutes on my tasks. How many minutes is that in total?
        add al these numbrs: {spaced}
        {plus} makes?
        The scores were {said}. What do they add up to?
        Was ist die Summe von {spaced}?
        Quelle est la somme de {spaced} ?
        ¿Cuál es la suma de {spaced}?
        {spaced} 这些数的和是多少？
    """), ("sum({xs})", "{plus}", "numbers = {xs}\nsum(numbers)")),
    Kind("average", "taught", "number", _average, lines("""
        What is the average of {said}?
        mean of {spaced}
        avg {spaced}
        What's the mean of these {n} numbers: {said}?
        Could you please work out the average of {said}?
        My marks are {said}. What is my average?
        I ran {said} km this week. How far did I run on average?
        averge of {said}
        on average, how big are {said}?
        hello :) average of {spaced} pls
        {n} people are {said} years old. What is their average age?
        Take the numbers {said} and give me their arithmetic mean.
        Was ist der Durchschnitt von {spaced}?
        Quelle est la moyenne de {spaced} ?
        ¿Cuál es la media de {spaced}?
        {spaced} 的平均数是多少？
    """), ("sum({xs}) / {n}", "numbers = {xs}\nsum(numbers) / len(numbers)",
           "import statistics\nstatistics.mean({xs})")),
    Kind("percent_of", "taught", "number", _percent, lines("""
        What is {p}% of {a}?
        {p}% of {a}
        {p} percent of {a}?
        how much is {p} per cent of {a}
        Please calculate {p}% of {a}.
        what's {pw} percent of {a}
        {a} people were asked and {p}% said yes. How many said yes?
        I have to pay {p}% of {a} euros. How much is that?
        whats {p} precent of {a}
        Of {a} seats {p}% are taken. How many seats are taken?
        hey, {p} % of {a:,}? need it fast
        If a test has {a} points, how many points are {p}%?
        Wie viel sind {p} Prozent von {a}?
        Combien font {p} % de {a} ?
        ¿Cuánto es el {p} % de {a}?
        {a}的{p}%是多少？
    """), ("{a} * {p} / 100", "whole = {a}\npercent = {p}\nwhole * percent / 100")),
    Kind("percent_more", "taught", "number", _more, lines("""
        What is {a} plus {p}%?
        Increase {a} by {p}%.
        {a} + {p}%
        A rent of {a} goes up by {p} percent. What is the new rent?
        my salary is {a} and I get a {p}% raise, what will it be
        A town with {a} people grows by {p}%. How many people live there then?
        what do I get if I add {p} per cent to {a}?
        Please raise {a} by {p} percent.
        incrase {a} by {p}%
        The price was {a} dollars without the {p}% tax. What is it with tax?
        {a} rises {p}%, new value?
        hi! {a} grew by {p} percent, so it's now?
        Was ist {a} plus {p} Prozent?
        Augmentez {a} de {p} % : combien cela fait-il ?
        ¿Cuánto es {a} más un {p} %?
        {a}增加{p}%后是多少？
    """), ("{a} * (100 + {p}) / 100", "before = {a}\nbefore + before * {p} / 100")),
    Kind("what_percent", "taught", "number", _share, lines("""
        What percent of {b} is {a}?
        {a} of {b} in percent?
        {a} out of {b} as a percentage
        I got {a} out of {b} points. What percentage is that?
        {a} of {b} students passed. How many percent is that?
        what percentage is {a} of {b}
        Please express {a}/{b} in per cent.
        {a} is what % of {b}
        wat percent is {a} of {b}
        We sold {a} of {b} tickets. What share is that, in percent?
        hey if {a} from {b} is done how many percent are done?
        Of {b} emails {a} were spam. What percentage was spam?
        Wie viel Prozent von {b} sind {a}?
        Quel pourcentage de {b} représente {a} ?
        ¿Qué porcentaje de {b} es {a}?
        {a}是{b}的百分之几？
    """), ("{a} * 100 / {b}", "part = {a}\nwhole = {b}\npart / whole * 100")),
    Kind("order_of_operations", "taught", "number", _order, lines("""
        What is {e}?
        {e}
        {ex} = ?
        calculate {et}
        Please work out {e} for me.
        what does {ex} come to
        {e} equals?
        Evaluate {e}.
        hi, can you do {et}? i always get the order wrong
        solve {e}
        whats teh result of {e}
        Compute the value of {ex}.
        Was ergibt {e}?
        Combien fait {ex} ?
        ¿Cuánto es {ex}?
        {ex} 等于多少？
    """), ("{e}", "x = {e}\nx")),
    Kind("linear_equation", "taught", "number", _equation, lines("""
        Solve {a}x + {b} = {c}.
        {a}x + {b} = {c}, what is x?
        find x: {a}x+{b}={c}
        What number x makes {a}x + {b} equal to {c}?
        I think of a number, multiply it by {a} and add {b}. I get {c}. What is my number?
        if {a} times x plus {b} is {c}, x is?
        Please solve for x: {a}*x + {b} = {c}
        hey math homework: {a}x + {b} = {c}. x = ?
        sovle {a}x + {b} = {c} for x
        {a} tickets and a fee of {b} cost {c} together. What does one ticket cost?
        What is x if {c} = {a}x + {b}?
        x times {a}, plus {b}, gives {c}. Which number is x?
        Löse {a}x + {b} = {c} nach x auf.
        Résous {a}x + {b} = {c}. Que vaut x ?
        Resuelve {a}x + {b} = {c}. ¿Cuánto vale x?
        解方程 {a}x + {b} = {c}，x 是多少？
    """), ("({c} - {b}) // {a}", "left = {c} - {b}\nleft // {a}")),
)  # fmt: skip
