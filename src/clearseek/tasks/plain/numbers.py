"""Primes, divisors, roman numerals, bases, shapes, counting arguments."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

from clearseek.tasks.plain.kind import Kind, lines

Drawn = tuple[dict[str, Any], Any]
_ROMAN = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
    (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


def roman(number: int) -> str:
    text = ""
    for value, letters in _ROMAN:
        text += letters * (number // value)
        number %= value
    return text


def _prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, math.isqrt(number) + 1))


def _gcd(rng: random.Random) -> Drawn:
    common = rng.randint(2, 30)
    a, b = common * rng.randint(2, 20), common * rng.randint(2, 20)
    return {"a": a, "b": b}, math.gcd(a, b)


def _lcm(rng: random.Random) -> Drawn:
    a, b = rng.randint(4, 40), rng.randint(4, 40)
    return {"a": a, "b": b}, math.lcm(a, b)


def _is_prime(rng: random.Random) -> Drawn:
    while True:
        n = rng.randint(11, 600)
        if _prime(n) or (n % 2 and n % 5 and rng.random() < 0.5):
            return {"n": n}, "yes" if _prime(n) else "no"


def _next_prime(rng: random.Random) -> Drawn:
    n = rng.randint(10, 400)
    return {"n": n}, next(m for m in range(n + 1, 2 * n) if _prime(m))


def _from_roman(rng: random.Random) -> Drawn:
    n = rng.randint(4, 2500)
    return {"r": roman(n)}, n


def _to_roman(rng: random.Random) -> Drawn:
    n = rng.randint(4, 2500)
    return {"n": n}, roman(n)


def _to_binary(rng: random.Random) -> Drawn:
    n = rng.randint(5, 500)
    return {"n": n}, f"{n:b}"


def _from_binary(rng: random.Random) -> Drawn:
    n = rng.randint(5, 500)
    return {"b": f"{n:b}"}, n


def _hexadecimal(rng: random.Random) -> Drawn:
    n = rng.randint(17, 4000)
    return {"n": n}, f"{n:x}"


def _median(rng: random.Random) -> Drawn:
    xs = rng.sample(range(1, 200), rng.choice([3, 5, 7]))
    return {"xs": xs, "said": ", ".join(map(str, xs))}, statistics.median(xs)


def _rectangle(rng: random.Random) -> Drawn:
    a, b = rng.randint(2, 80), rng.randint(2, 80)
    return {"a": a, "b": b}, a * b


def _perimeter(rng: random.Random) -> Drawn:
    fields, _ = _rectangle(rng)
    return fields, 2 * (fields["a"] + fields["b"])


def _box(rng: random.Random) -> Drawn:
    a, b, c = (rng.randint(2, 30) for _ in range(3))
    return {"a": a, "b": b, "c": c}, a * b * c


def _triangle(rng: random.Random) -> Drawn:
    g, h = rng.randint(2, 60), rng.randint(1, 40) * 2
    return {"g": g, "h": h}, g * h // 2


def _handshakes(rng: random.Random) -> Drawn:
    n = rng.randint(4, 40)
    return {"n": n}, n * (n - 1) // 2


def _factorial(rng: random.Random) -> Drawn:
    n = rng.randint(4, 12)
    return {"n": n}, math.factorial(n)


def _fibonacci(rng: random.Random) -> Drawn:
    n = rng.randint(6, 25)
    a, b = 1, 1
    for _ in range(n - 2):
        a, b = b, a + b
    return {"n": n}, b


def _square_root(rng: random.Random) -> Drawn:
    n = rng.randint(11, 99)
    return {"n": n * n}, n


def _legs(rng: random.Random) -> Drawn:
    a, b, c = rng.randint(2, 20), rng.randint(2, 20), rng.randint(2, 20)
    return {"a": a, "b": b, "c": c}, 2 * a + 4 * b + 6 * c


def _sum_to(rng: random.Random) -> Drawn:
    n = rng.randint(8, 300)
    return {"n": n}, n * (n + 1) // 2


KINDS = (
    Kind("gcd", "rewarded", "number", _gcd, lines("""
        What is the greatest common divisor of {a} and {b}?
        gcd({a}, {b})
        gcd of {a} and {b}?
        Which is the largest number that divides both {a} and {b}?
        Please find the highest common factor of {a} and {b}.
        hcf {a} {b}
        biggest number that goes into {a} and {b} without rest
        I have {a} red and {b} blue beads. Into how many equal bags at most can I put them with none left?
        greatest comon divisor of {a} and {b}
        what's the largest common factor of {a} and {b}
        Was ist der größte gemeinsame Teiler von {a} und {b}?
        Quel est le plus grand diviseur commun de {a} et {b} ?
        ¿Cuál es el máximo común divisor de {a} y {b}?
        {a}和{b}的最大公约数是多少？
    """)),
    Kind("lcm", "rewarded", "number", _lcm, lines("""
        What is the least common multiple of {a} and {b}?
        lcm({a}, {b})
        lcm of {a} and {b}?
        Which is the smallest number that both {a} and {b} divide?
        Please find the lowest common multiple of {a} and {b}.
        smallest common multiple: {a}, {b}
        One light blinks every {a} s and another every {b} s. After how many seconds do they blink together again?
        hey what's the lcm for {a} and {b}
        least comon multiple of {a} and {b}
        Find the first number in both the {a} times table and the {b} times table.
        Was ist das kleinste gemeinsame Vielfache von {a} und {b}?
        Quel est le plus petit multiple commun de {a} et {b} ?
        ¿Cuál es el mínimo común múltiplo de {a} y {b}?
        {a}和{b}的最小公倍数是多少？
    """)),
    Kind("is_prime", "rewarded", "word", _is_prime, lines("""
        Is {n} a prime number? Answer yes or no.
        {n} prime? yes/no
        yes or no: {n} is prime
        Is {n} only divisible by 1 and itself? Yes or no.
        Please say yes or no: is {n} a prime?
        is {n} prime or not, answer yes or no
        Does {n} have no divisors but 1 and {n}? yes or no
        hey, is {n} a prime number, yes or no
        is {n} a prim number, yes or no
        prime check for {n}, yes or no please
        Ist {n} eine Primzahl? Antworte yes oder no.
        {n} est-il premier ? Réponds yes ou no.
        ¿Es {n} un número primo? Responde yes o no.
        {n}是质数吗？请回答yes或no。
    """), among=("yes", "no")),
    Kind("next_prime", "rewarded", "number", _next_prime, lines("""
        What is the next prime number after {n}?
        next prime > {n}
        smallest prime larger than {n}
        Which prime comes right after {n}?
        Please find the first prime number above {n}.
        first prime after {n}?
        hey which prime number follows {n}
        Going up from {n}, which is the first prime I meet?
        nexst prime after {n}
        The smallest prime greater than {n} is?
        Was ist die nächste Primzahl nach {n}?
        Quel est le premier nombre premier après {n} ?
        ¿Cuál es el primer número primo después de {n}?
        比{n}大的最小质数是多少？
    """)),
    Kind("roman_to_number", "rewarded", "number", _from_roman, lines("""
        What number is the Roman numeral {r}?
        {r} in digits
        {r} roman numeral value?
        Convert {r} from Roman numerals, please.
        The building says {r}. Which year or number is that?
        what does {r} mean as a number
        Write the Roman number {r} in ordinary digits.
        hey how much is {r} in normal numbers
        waht number is roman {r}
        Decode the Roman numeral {r}.
        Welche Zahl ist die römische Zahl {r}?
        Quel nombre est {r} en chiffres romains ?
        ¿Qué número es {r} en números romanos?
        罗马数字{r}是多少？
    """)),
    Kind("number_to_roman", "rewarded", "text", _to_roman, lines("""
        Write {n} in Roman numerals.
        {n} in roman
        roman numeral for {n}?
        How do you write {n} with Roman numerals?
        Please convert {n} to a Roman numeral.
        {n} as a roman number
        I want {n} on a clock face, in Roman numerals.
        hey what's {n} in roman numerals
        {n} in romen numerals
        Which Roman numeral stands for {n}?
        Schreibe {n} mit römischen Zahlen.
        Écris {n} en chiffres romains.
        Escribe {n} en números romanos.
        用罗马数字写{n}。
    """)),
    Kind("to_binary", "rewarded", "number", _to_binary, lines("""
        What is {n} in binary?
        {n} to binary
        bin({n}) without 0b
        Convert {n} to base 2.
        Please write {n} as a binary number.
        {n} in base two?
        how do computers write {n} in binary
        hey binary of {n}?
        {n} in binery
        Give the binary digits of {n}.
        Was ist {n} im Binärsystem?
        Combien fait {n} en binaire ?
        ¿Cuánto es {n} en binario?
        {n}用二进制怎么写？
    """)),
    Kind("from_binary", "rewarded", "number", _from_binary, lines("""
        What is the binary number {b} in decimal?
        {b} binary to decimal
        {b} (base 2) in base 10
        Convert {b} from binary, please.
        Which decimal number is {b} in base 2?
        binary {b} = ?
        what does {b} come to if it is binary
        hey what number is {b} in binary
        bineary {b} to decimal
        Read {b} as a binary number and give it in decimal.
        Welche Dezimalzahl ist die Binärzahl {b}?
        Quel nombre décimal est {b} en binaire ?
        ¿Qué número decimal es {b} en binario?
        二进制数{b}等于十进制的多少？
    """)),
    Kind("median", "rewarded", "number", _median, lines("""
        What is the median of {said}?
        median of {said}
        median: {said}
        Which number is in the middle if I sort {said}?
        Please find the median of these numbers: {said}
        middle value of {said} when sorted
        The rents are {said}. What is the median rent?
        hey median of {said}?
        meedian of {said}
        Sort {said} and give me the number in the middle.
        Was ist der Median von {said}?
        Quelle est la médiane de {said} ?
        ¿Cuál es la mediana de {said}?
        {said}的中位数是多少？
    """)),
    Kind("rectangle_area", "taught", "number", _rectangle, lines("""
        What is the area of a rectangle {a} m long and {b} m wide?
        area {a} x {b}
        rectangle {a} by {b}, area?
        A room is {a} metres by {b} metres. How many square metres is that?
        Please work out the area of a rectangle with sides {a} and {b}.
        how many square feet is a {a} ft by {b} ft floor
        A field measures {a} m times {b} m. What is its area in square metres?
        my garden is {a} by {b} meters, whats the area
        hey area of a {a} cm x {b} cm picture in square cm?
        aera of a rectangle {a} by {b}
        How many tiles of 1 m² cover a floor of {a} m by {b} m?
        sides {a} and {b}, rectangle, area please
        Wie groß ist die Fläche eines Rechtecks von {a} m mal {b} m?
        Quelle est l'aire d'un rectangle de {a} m sur {b} m ?
        ¿Qué área tiene un rectángulo de {a} m por {b} m?
        长{a}米、宽{b}米的长方形面积是多少平方米？
    """), ("{a} * {b}", "length = {a}\nwidth = {b}\nlength * width")),
    Kind("rectangle_perimeter", "taught", "number", _perimeter, lines("""
        What is the perimeter of a rectangle {a} m long and {b} m wide?
        perimeter {a} x {b}
        rectangle {a} by {b}, perimeter?
        How many metres of fence go around a garden of {a} m by {b} m?
        Please work out the perimeter of a rectangle with sides {a} and {b}.
        A frame for a picture of {a} cm by {b} cm: how long is the way round it, in cm?
        I walk once around a field {a} m long and {b} m wide. How many metres is that?
        whats the way around a {a} by {b} rectangle
        hey perimeter for a {a} m x {b} m room?
        perimetre of rectangel {a} and {b}
        length {a}, width {b}: what is the perimeter of the rectangle?
        sides {a} and {b}, once around, how long
        Wie groß ist der Umfang eines Rechtecks von {a} m mal {b} m?
        Quel est le périmètre d'un rectangle de {a} m sur {b} m ?
        ¿Qué perímetro tiene un rectángulo de {a} m por {b} m?
        长{a}米、宽{b}米的长方形周长是多少米？
    """), ("2 * ({a} + {b})", "length = {a}\nwidth = {b}\n2 * length + 2 * width")),
    Kind("box_volume", "taught", "number", _box, lines("""
        What is the volume of a box of {a} cm by {b} cm by {c} cm?
        volume {a} x {b} x {c}
        box {a} by {b} by {c}, volume?
        A tank is {a} dm long, {b} dm wide and {c} dm high. How many litres does it hold?
        Please work out the volume of a cuboid with edges {a}, {b} and {c}.
        how many cubic meters is a room {a} m long {b} m wide {c} m high
        An aquarium measures {a} by {b} by {c} dm. What is its volume in cubic dm?
        hey volume of a {a}*{b}*{c} box?
        volum of a box with {a}, {b} and {c}
        How many 1 cm cubes fill a box of {a} x {b} x {c} cm?
        length {a}, width {b}, height {c}: volume of the box?
        edges {a} {b} {c}, cuboid volume please
        Wie groß ist das Volumen eines Quaders von {a} mal {b} mal {c} cm?
        Quel est le volume d'une boîte de {a} sur {b} sur {c} cm ?
        ¿Qué volumen tiene una caja de {a} por {b} por {c} cm?
        长{a}、宽{b}、高{c}厘米的盒子体积是多少立方厘米？
    """), ("{a} * {b} * {c}", "base = {a} * {b}\nbase * {c}")),
    Kind("square_root", "taught", "number", _square_root, lines("""
        What is the square root of {n}?
        sqrt({n})
        √{n}
        square root {n}?
        Which positive number times itself is {n}?
        Please find the square root of {n}.
        A square has an area of {n} m². How long is its side in metres?
        hey root of {n}?
        sqare root of {n}
        what number squared gives {n}
        If x * x = {n} and x is positive, what is x?
        how long is the side of a square of {n} square cm
        Was ist die Quadratwurzel aus {n}?
        Quelle est la racine carrée de {n} ?
        ¿Cuál es la raíz cuadrada de {n}?
        {n}的平方根是多少？
    """), ("import math\nmath.isqrt({n})", "round({n} ** 0.5)", "from math import sqrt\nint(sqrt({n}))")),
    Kind("legs", "taught", "number", _legs, lines("""
        How many legs do {a} chickens, {b} cows and {c} ants have together?
        legs of {a} ducks + {b} dogs + {c} beetles
        On a farm there are {a} hens, {b} sheep and {c} bees. How many legs is that?
        {a} people, {b} horses, {c} flies: total legs?
        Please count the legs of {a} geese, {b} cats and {c} butterflies.
        how many legs have {a} birds {b} pigs and {c} ants
        I see {a} children, {b} goats and {c} wasps. How many legs do I see?
        hey so {a} parrots {b} rabbits {c} ants, legs in all?
        how meny leggs do {a} hens, {b} cows and {c} flies have
        If {a} owls, {b} lions and {c} bees meet, how many legs meet?
        Wie viele Beine haben {a} Hühner, {b} Kühe und {c} Ameisen zusammen?
        Combien de pattes ont {a} poules, {b} vaches et {c} fourmis ensemble ?
        ¿Cuántas patas tienen {a} gallinas, {b} vacas y {c} hormigas juntas?
        {a}只鸡、{b}头牛和{c}只蚂蚁一共有多少条腿？
    """), ("2 * {a} + 4 * {b} + 6 * {c}", "two = {a} * 2\nfour = {b} * 4\nsix = {c} * 6\ntwo + four + six")),
    Kind("sum_to", "taught", "number", _sum_to, lines("""
        What is the sum of all whole numbers from 1 to {n}?
        1 + 2 + ... + {n}
        sum 1 to {n}
        Add up all numbers from 1 up to {n}.
        Please add 1, 2, 3 and so on up to {n}.
        how much is 1+2+3+...+{n}
        A stack has 1 can on top, 2 below, and so on, {n} in the lowest of {n} rows. How many cans?
        hey gauss question, everything from 1 to {n} added?
        sum of the first {n} numbrs
        If I save 1 dollar on day 1, 2 on day 2 and so on, how many dollars have I after {n} days?
        What do the numbers 1 to {n} add up to?
        total of the integers 1..{n}
        Was ist die Summe der Zahlen von 1 bis {n}?
        Quelle est la somme des nombres de 1 à {n} ?
        ¿Cuánto suman los números del 1 al {n}?
        1加到{n}等于多少？
    """), ("sum(range(1, {n} + 1))", "n = {n}\nn * (n + 1) // 2",
           "total = 0\nfor i in range(1, {n} + 1):\n    total += i\ntotal")),
    Kind("hexadecimal", "unseen", "text", _hexadecimal, lines("""
        What is {n} in hexadecimal?
        {n} to hex
        hex of {n} without 0x
        Convert {n} to base 16.
        Please write {n} as a hexadecimal number.
        {n} in base sixteen?
        hey hex for {n}?
        how is {n} written in hexadecimal
        {n} in hexadesimal
        Give the hex digits of {n}.
        Was ist {n} im Hexadezimalsystem?
        Combien fait {n} en hexadécimal ?
        ¿Cuánto es {n} en hexadecimal?
        {n}用十六进制怎么写？
    """)),
    Kind("triangle_area", "unseen", "number", _triangle, lines("""
        What is the area of a triangle with base {g} cm and height {h} cm?
        triangle base {g} height {h}, area?
        area of a triangle, b = {g}, h = {h}
        A sail is a triangle {g} m wide and {h} m high. How many square metres is it?
        Please work out the area of a triangle of base {g} and height {h}.
        how big is a triangle with base {g} and height {h}
        A triangle stands on {g} cm and is {h} cm high: area in square cm?
        hey triangle {g} wide {h} high whats the area
        aera of triangel base {g} hight {h}
        The base of a triangle is {g}, its height {h}. Its area?
        Wie groß ist ein Dreieck mit Grundseite {g} cm und Höhe {h} cm?
        Quelle est l'aire d'un triangle de base {g} cm et de hauteur {h} cm ?
        ¿Qué área tiene un triángulo de base {g} cm y altura {h} cm?
        底{g}厘米、高{h}厘米的三角形面积是多少？
    """)),
    Kind("handshakes", "unseen", "number", _handshakes, lines("""
        {n} people all shake hands with each other once. How many handshakes is that?
        handshakes among {n} people?
        How many pairs can be made of {n} people?
        In a league of {n} teams each plays each other once. How many matches are there?
        Please count the ways to choose 2 out of {n}.
        {n} choose 2
        {n} friends clink glasses, everyone with everyone. How many clinks?
        hey if {n} players each play each other once how many games
        how meny hanshakes with {n} people
        How many straight lines join {n} points, no three on one line?
        {n} Leute geben sich alle die Hand. Wie viele Händedrücke sind das?
        {n} personnes se serrent toutes la main. Combien de poignées de main ?
        {n} personas se dan la mano entre todas. ¿Cuántos apretones son?
        {n}个人两两握手一次，一共握手多少次？
    """)),
    Kind("factorial", "unseen", "number", _factorial, lines("""
        What is {n} factorial?
        {n}!
        factorial({n})
        How much is {n}!?
        Please calculate the factorial of {n}.
        In how many orders can {n} books stand on a shelf?
        product of all numbers from 1 to {n}
        hey {n} factorial?
        factoral of {n}
        How many ways are there to line up {n} people?
        Was ist {n} Fakultät?
        Combien fait {n} factorielle ?
        ¿Cuánto es el factorial de {n}?
        {n}的阶乘是多少？
    """)),
    Kind("fibonacci", "unseen", "number", _fibonacci, lines("""
        What is Fibonacci number {n}, if the first two are 1 and 1?
        fibonacci({n}) with 1, 1, 2, 3...
        {n}th number of 1, 1, 2, 3, 5, 8, ...
        The Fibonacci sequence begins 1, 1, 2, 3. What is its member number {n}?
        Please give me the Fibonacci number at place {n} (1, 1, 2, ...).
        fib {n}, starting 1 1
        In 1, 1, 2, 3, 5, ... each number is the sum of the two before. Which stands at place {n}?
        hey what's the {n}. fibonacci number (1,1,2,...)
        fibonaci nr {n} (1, 1, 2, 3)
        Count along 1, 1, 2, 3, 5: what is number {n}?
        Was ist die {n}. Fibonacci-Zahl (1, 1, 2, 3, ...)?
        Quel est le nombre de Fibonacci numéro {n} (1, 1, 2, 3...) ?
        ¿Cuál es el número {n} de Fibonacci (1, 1, 2, 3...)?
        斐波那契数列1、1、2、3……的第{n}项是多少？
    """)),
)  # fmt: skip
