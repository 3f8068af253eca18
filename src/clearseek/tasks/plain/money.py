"""Prices, change, discounts, bills."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from clearseek.tasks.plain.arithmetic import two_places
from clearseek.tasks.plain.kind import Kind, lines

Drawn = tuple[dict[str, Any], Any]
THINGS = "apples pens notebooks tickets bottles cups lamps stamps candles brushes plates batteries".split()


def _cents(rng: random.Random, low: int, high: int) -> Decimal:
    return Decimal(rng.randint(low, high)) / 100


def _total(rng: random.Random) -> Drawn:
    n, price = rng.randint(2, 30), _cents(rng, 25, 1999)
    return {"n": n, "p": f"{price:.2f}", "thing": rng.choice(THINGS)}, two_places(n * price)


def _change(rng: random.Random) -> Drawn:
    note = rng.choice([5, 10, 20, 50, 100])
    price = _cents(rng, note * 20, note * 99)
    return {"note": note, "p": f"{price:.2f}"}, two_places(note - price)


def _discount(rng: random.Random) -> Drawn:
    p, price = rng.choice([5, 10, 15, 20, 25, 30, 40, 50, 70]), rng.randint(2, 60) * 20
    return {"p": p, "a": price}, two_places(Decimal(price) * (100 - p) / 100)


def _split(rng: random.Random) -> Drawn:
    n, each = rng.randint(2, 9), _cents(rng, 400, 4000)
    return {"n": n, "t": f"{n * each:.2f}"}, two_places(each)


def _two_things(rng: random.Random) -> Drawn:
    n, m = rng.randint(2, 9), rng.randint(2, 9)
    p, q = _cents(rng, 50, 900), _cents(rng, 50, 900)
    one, other = rng.sample(THINGS, 2)
    return {"n": n, "m": m, "p": f"{p:.2f}", "q": f"{q:.2f}", "one": one, "other": other}, two_places(n * p + m * q)


def _tip(rng: random.Random) -> Drawn:
    p, bill = rng.choice([5, 10, 15, 18, 20]), Decimal(rng.randint(20, 400)) / 2
    return {"p": p, "b": f"{bill:.2f}"}, two_places(bill * (100 + p) / 100)


def _cheaper(rng: random.Random) -> Drawn:
    while True:
        n, m = rng.sample(range(2, 25), 2)
        p, q = _cents(rng, 100, 2500), _cents(rng, 100, 2500)
        if abs(p / n - q / m) > Decimal("0.02"):
            return {"n": n, "m": m, "p": f"{p:.2f}", "q": f"{q:.2f}"}, "A" if p / n < q / m else "B"


def _recipe(rng: random.Random) -> Drawn:
    small = rng.choice([2, 3, 4, 6])
    large, each = small * rng.randint(2, 5) + rng.choice([0, 1]), rng.randint(5, 80)
    food = rng.choice(["flour", "rice", "sugar", "butter", "pasta"])
    return {"s": small, "g": small * each, "l": large, "food": food}, large * each


def _interest(rng: random.Random) -> Drawn:
    a, p, years = rng.randint(2, 90) * 100, rng.randint(1, 9), rng.randint(2, 9)
    return {"a": a, "p": p, "y": years}, a * p * years // 100


KINDS = (
    Kind("total_price", "taught", "number", _total, lines("""
        What do {n} {thing} at ${p} each cost?
        {n} {thing} at {p} each, total?
        {n} x ${p}
        How much is it if I buy {n} {thing} for €{p} apiece?
        one costs {p} euros, how much are {n} {thing}
        Could you tell me the price of {n} {thing} when one is ${p}?
        price for {n} {thing} @ {p}?
        {thing} cost ${p} each. I need {n}. How much do I pay?
        hi, buying {n} {thing}, {p} a piece, what's the damage?
        how mutch are {n} {thing} if each is {p}
        At £{p} per piece, what do {n} {thing} come to?
        I'd like {n} {thing}. Each is {p} dollars. What's the total, please?
        Was kosten {n} Stück zu je {p} €?
        Combien coûtent {n} articles à {p} € pièce ?
        ¿Cuánto cuestan {n} unidades a {p} € cada una?
        每个{p}元，{n}个一共多少钱？
    """), ("round({n} * {p}, 2)", "price = {p}\ncount = {n}\nround(price * count, 2)")),
    Kind("change", "taught", "number", _change, lines("""
        I pay ${p} with a ${note} note. How much change do I get?
        change from {note} for {p}?
        {note} - {p}, what's the change
        How much do I get back from €{note} if something costs €{p}?
        It costs {p} and I give {note}. What do I get back, please?
        bill is ${p}, paid with {note} dollars, change?
        What change is due from a £{note} note for a purchase of £{p}?
        hey I gave the cashier {note} for a thing that costs {p}, how much back?
        how much chnage from {note} when it is {p}
        I had {note} euros and spent {p}. What is left?
        Cost: {p}. Given: {note}. Change?
        A coffee costs ${p}. I pay with ${note}. What is my change?
        Wie viel Rückgeld bekomme ich von {note} €, wenn es {p} € kostet?
        Combien me rend-on sur {note} € pour un achat de {p} € ?
        ¿Cuánto cambio me dan de {note} € si cuesta {p} €?
        付{note}元买{p}元的东西，找回多少？
    """), ("round({note} - {p}, 2)", "paid = {note}\ncost = {p}\nround(paid - cost, 2)")),
    Kind("discount", "taught", "number", _discount, lines("""
        What is ${a} with {p}% off?
        {a} minus {p}%
        {p}% off {a}?
        A jacket costs {a} euros and is reduced by {p} percent. What does it cost now?
        sale: {p}% discount on {a}, new price?
        If I get {p} per cent off a price of ${a}, how much do I pay?
        Please reduce {a} by {p}%.
        normally {a}, today {p} percent cheaper. how much?
        whats {a} with a {p}% discont
        How much is a £{a} coat after a {p}% discount?
        hi! coupon says {p}% off, the thing is {a}. what do i pay
        The price of {a} falls by {p}%. What is the price then?
        Was kosten {a} € mit {p} % Rabatt?
        Combien coûte un article à {a} € avec {p} % de remise ?
        ¿Cuánto pago por {a} € con un {p} % de descuento?
        原价{a}元，打折{p}%以后是多少元？
    """), ("{a} * (100 - {p}) / 100", "price = {a}\noff = price * {p} / 100\nprice - off")),
    Kind("split_bill", "taught", "number", _split, lines("""
        We are {n} people and the bill is ${t}. How much does each pay?
        split {t} between {n} people
        {t} / {n} people, each?
        The dinner cost €{t} and {n} of us share it equally. What is each share?
        bill {t}, {n} persons, pp?
        Could you divide a bill of {t} dollars among {n} friends?
        {n} roommates share a rent of {t}. How much is it for one of them?
        how much is it each if {n} of us pay {t} together
        spilt the bill of {t} by {n}
        hey so the taxi was {t} and we were {n}. what does everyone owe?
        A present for £{t} is paid by {n} colleagues in equal parts. What does one pay?
        If {n} people pay ${t} in equal parts, how much is one part?
        {n} Personen teilen sich {t} €. Wie viel zahlt jede?
        {n} personnes partagent {t} €. Combien paie chacune ?
        {n} personas pagan {t} € a partes iguales. ¿Cuánto paga cada una?
        {n}个人平分{t}元，每人多少元？
    """), ("round({t} / {n}, 2)", "total = {t}\npeople = {n}\nround(total / people, 2)")),
    Kind("two_things", "taught", "number", _two_things, lines("""
        {n} {one} at ${p} and {m} {other} at ${q}: what is the total?
        {n} x {p} + {m} x {q}
        How much are {n} {one} for {p} each and {m} {other} for {q} each together?
        I buy {n} {one} ({p} euros each) and {m} {other} ({q} euros each). What do I pay?
        total for {n} {one} @ {p}, {m} {other} @ {q}
        Please add up my basket: {n} {one} at £{p}, {m} {other} at £{q}.
        {one} are {p} and {other} are {q}. I want {n} and {m} of them. How much is that in all?
        shopping list: {n} {one} {p} each, {m} {other} {q} each. sum?
        what woud {n} {one} at {p} and {m} {other} at {q} cost me
        hi, got {n} {one} for {p} apiece and {m} {other} for {q} apiece, what's the sum?
        Was kosten {n} Stück zu {p} € und {m} Stück zu {q} € zusammen?
        Combien coûtent {n} articles à {p} € et {m} à {q} € ensemble ?
        ¿Cuánto cuestan {n} unidades a {p} € y {m} a {q} € en total?
        {n}个每个{p}元，{m}个每个{q}元，一共多少钱？
    """), ("round({n} * {p} + {m} * {q}, 2)", "a = {n} * {p}\nb = {m} * {q}\nround(a + b, 2)")),
    Kind("tip", "rewarded", "number", _tip, lines("""
        The bill is ${b}. What do I pay with a {p}% tip?
        {b} plus {p}% tip, total?
        How much is €{b} with a tip of {p} percent?
        bill {b}, tip {p}%, total please
        We want to leave {p}% tip on {b}. How much is it in all?
        Please work out the total for a bill of £{b} and a {p} per cent tip.
        what's the total with {p}% tip on {b}
        dinner was {b} and i tip {p}%. how much do i pay altogether?
        {p} precent tip on {b}, how much in total
        If I add a {p}% tip to a bill of ${b}, what is the sum?
        Was zahle ich bei {b} € mit {p} % Trinkgeld?
        Combien je paie pour {b} € avec {p} % de pourboire ?
        ¿Cuánto pago por {b} € con un {p} % de propina?
        账单{b}元，加{p}%小费，一共多少？
    """)),
    Kind("cheaper_offer", "rewarded", "word", _cheaper, lines("""
        Offer A: {n} pieces for ${p}. Offer B: {m} pieces for ${q}. Which is cheaper per piece, A or B?
        A: {n} for {p}, B: {m} for {q}. cheaper?
        Which is the better deal, A ({n} for €{p}) or B ({m} for €{q})?
        Shop A sells {n} eggs for {p}, shop B sells {m} for {q}. Where is an egg cheaper, A or B?
        {n} pens cost {p} in A and {m} cost {q} in B, which one is the cheaper per pen?
        Please tell me whether A ({n} items, £{p}) or B ({m} items, £{q}) costs less per item.
        per unit, is A with {n} for {p} or B with {m} for {q} cheaper
        A or B? A is {n} rolls at {p}, B is {m} rolls at {q}, I want the lower price per roll
        wich is cheeper per piece: A {n} for {p} or B {m} for {q}
        hey help me shop: pack A {n} pcs {p} eur, pack B {m} pcs {q} eur, best price each?
        Welches Angebot ist pro Stück billiger: A ({n} für {p} €) oder B ({m} für {q} €)?
        Quelle offre est la moins chère par pièce : A ({n} pour {p} €) ou B ({m} pour {q} €) ?
        ¿Qué oferta sale más barata por unidad, A ({n} por {p} €) o B ({m} por {q} €)?
        A：{n}个{p}元；B：{m}个{q}元。哪个单价更便宜，A还是B？
    """), among=("A", "B")),
    Kind("scale_recipe", "rewarded", "number", _recipe, lines("""
        A recipe for {s} people needs {g} g of {food}. How many grams do I need for {l} people?
        {g} g {food} for {s}, how much for {l}?
        For {s} portions you take {g} grams of {food}. How much for {l} portions?
        scale {g}g of {food} from {s} to {l} servings
        I cook for {l} instead of {s}. The recipe says {g} g of {food}. How much do I take, in grams?
        Please convert: {food}, {g} g for {s} persons, wanted for {l} persons.
        if {s} people need {g} grams {food} then {l} people need?
        recipe says {g}g {food} (serves {s}). we are {l}. grams?
        how many gramms of {food} for {l} when its {g} for {s}
        {s} servings take {g} g of {food}; what do {l} servings take?
        Ein Rezept für {s} Personen braucht {g} g. Wie viel Gramm für {l} Personen?
        Une recette pour {s} personnes demande {g} g. Combien de grammes pour {l} personnes ?
        Una receta para {s} personas lleva {g} g. ¿Cuántos gramos para {l} personas?
        {s}人份需要{g}克，{l}人份需要多少克？
    """)),
    Kind("simple_interest", "unseen", "number", _interest, lines("""
        How much simple interest do ${a} earn in {y} years at {p}%?
        simple interest on {a} at {p}% for {y} years
        I lend {a} euros at {p} percent a year, without compounding. How much interest is that after {y} years?
        {a}, {p}% p.a., {y} years, simple interest?
        What interest is paid on {a} dollars over {y} years at a simple rate of {p} per cent?
        Please compute the simple interest for {a} at {p}% and {y} years.
        if i put {a} away at {p}% simple interest, how much interest after {y} years
        interest (not compound) of {a} with {p}% in {y} years
        simpel intrest of {a} at {p}% for {y} yrs
        £{a} at {p}% simple interest: how many pounds of interest in {y} years?
        Wie viel Zinsen ohne Zinseszins bringen {a} € bei {p} % in {y} Jahren?
        Quels intérêts simples rapportent {a} € à {p} % en {y} ans ?
        ¿Qué interés simple dan {a} € al {p} % en {y} años?
        {a}元按{p}%的单利存{y}年，利息是多少？
    """)),
)  # fmt: skip
