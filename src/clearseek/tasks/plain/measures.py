"""Times, dates, ages, units."""

from __future__ import annotations

import calendar
import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from clearseek.tasks.plain.arithmetic import two_places
from clearseek.tasks.plain.kind import Kind, lines

Drawn = tuple[dict[str, Any], Any]
WEEKDAYS = tuple(calendar.day_name)
MONTHS = tuple(calendar.month_name)


def _clock(minutes: int) -> str:
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def _day(rng: random.Random) -> date:
    return date(1950, 1, 1) + timedelta(days=rng.randrange(36_000))


def _dated(day: date, key: str) -> dict[str, Any]:
    return {
        key: day.isoformat(),
        f"{key}_us": f"{MONTHS[day.month]} {day.day}, {day.year}",
        f"{key}_uk": f"{day.day} {MONTHS[day.month]} {day.year}",
        f"{key}_de": f"{day.day}.{day.month}.{day.year}",
        f"{key}_zh": f"{day.year}年{day.month}月{day.day}日",
        f"{key}_args": f"{day.year}, {day.month}, {day.day}",
    }


def _between_times(rng: random.Random) -> Drawn:
    start = rng.randint(0, 1300)
    minutes = rng.randint(5, 1439 - start)
    end = start + minutes
    fields = {
        "s": _clock(start),
        "e": _clock(end),
        "sh": start // 60,
        "sm": start % 60,
        "eh": end // 60,
        "em": end % 60,
    }
    return fields, minutes


def _time_after(rng: random.Random) -> Drawn:
    start, hours, minutes = rng.randint(0, 1439), rng.randint(0, 9), rng.randint(5, 59)
    fields = {"s": _clock(start), "h": hours, "m": minutes, "start": start}
    return fields, _clock(start + hours * 60 + minutes)


def _hours_minutes(rng: random.Random) -> Drawn:
    h, m = rng.randint(1, 30), rng.randint(1, 59)
    return {"h": h, "m": m}, 60 * h + m


def _minutes_over(rng: random.Random) -> Drawn:
    total = rng.randint(65, 900)
    return {"t": total}, total % 60


def _days_between(rng: random.Random) -> Drawn:
    first = _day(rng)
    days = rng.randint(2, 700)
    return {**_dated(first, "a"), **_dated(first + timedelta(days=days), "b")}, days


def _weekday(rng: random.Random) -> Drawn:
    day = _day(rng)
    return _dated(day, "d"), WEEKDAYS[day.weekday()]


def _date_after(rng: random.Random) -> Drawn:
    day, n = _day(rng), rng.randint(3, 200)
    return {**_dated(day, "d"), "n": n}, (day + timedelta(days=n)).isoformat()


def _age(rng: random.Random) -> Drawn:
    born = rng.randint(1930, 2015)
    year = born + rng.randint(5, 95)
    return {"b": born, "y": year}, year - born


def _older(rng: random.Random) -> Drawn:
    b = rng.randint(2, 60)
    a = b + rng.randint(2, 30)
    one, other = rng.sample(["Anna", "Ben", "Chloe", "Daniel", "Emma", "Farid", "Grace", "Hugo", "Ines", "Jonas"], 2)
    return {"a": a, "b": b, "one": one, "other": other}, a - b


def _kilometres(rng: random.Random) -> Drawn:
    km = Decimal(rng.randint(3, 900)) / 10
    return {"k": f"{km.normalize():f}"}, int(km * 1000)


def _fahrenheit(rng: random.Random) -> Drawn:
    c = rng.randint(-8, 20) * 5
    return {"c": c}, c * 9 // 5 + 32


def _pounds(rng: random.Random) -> Drawn:
    kg = rng.randint(2, 150)
    return {"k": kg}, two_places(Decimal(kg) * Decimal("2.2046"))


def _speed(rng: random.Random) -> Drawn:
    speed, hours = rng.randint(3, 130), rng.randint(2, 9)
    return {"d": speed * hours, "h": hours}, speed


def _distance(rng: random.Random) -> Drawn:
    speed, halves = rng.randint(2, 60) * 2, rng.randint(2, 15)
    hours = Decimal(halves) / 2
    return {"v": speed, "h": f"{hours.normalize():f}"}, speed * halves // 2


def _leap(rng: random.Random) -> Drawn:
    year = rng.choice([rng.randint(1600, 2400), rng.randint(400, 600) * 4, rng.randint(16, 24) * 100])
    return {"y": year}, "yes" if calendar.isleap(year) else "no"


def _seconds(rng: random.Random) -> Drawn:
    h, m, s = rng.randint(1, 12), rng.randint(0, 59), rng.randint(0, 59)
    return {"h": h, "m": m, "s": s}, 3600 * h + 60 * m + s


KINDS = (
    Kind("minutes_between", "taught", "number", _between_times, lines("""
        How many minutes are there between {s} and {e}?
        minutes from {s} to {e}
        {s} - {e}, how many minutes?
        A train leaves at {s} and arrives at {e}. How many minutes does it take?
        I slept from {s} to {e}. How many minutes was that?
        Could you tell me how long a meeting from {s} until {e} is, in minutes?
        how long is it from {s} till {e} in mins
        The film starts at {s} and ends at {e}. How long is it in minutes?
        how many minuts betwen {s} and {e}
        started {s}, finished {e} same day. minutes please, thx
        It is {s} now. How many minutes are left until {e}?
        What is the time difference between {s} and {e} in minutes?
        Wie viele Minuten liegen zwischen {s} und {e} Uhr?
        Combien de minutes y a-t-il entre {s} et {e} ?
        ¿Cuántos minutos hay entre las {s} y las {e}?
        从{s}到{e}有多少分钟？
    """), ("({eh} * 60 + {em}) - ({sh} * 60 + {sm})", "start = {sh} * 60 + {sm}\nend = {eh} * 60 + {em}\nend - start")),
    Kind("time_after", "taught", "time", _time_after, lines("""
        It is {s}. What time is it in {h} hours and {m} minutes?
        {s} + {h}h {m}min
        what time is {h} hours {m} minutes after {s}
        A meeting starts at {s} and lasts {h} h {m} min. When does it end?
        My bus leaves at {s} and takes {h} hours and {m} minutes. When do I arrive?
        Please add {h} hours and {m} minutes to {s}.
        {s}, then {h}h{m} later?
        The oven goes on at {s} for {h} hours and {m} minutes. At what time is it done?
        wat time wil it be {h} hours and {m} minuts after {s}
        hey it's {s}, i need {h}h and {m}m. when am i done?
        If I set off at {s}, what time is it {h} hours {m} minutes later?
        Movie at {s}, runs {h} h {m} min, ends at?
        Es ist {s} Uhr. Wie spät ist es in {h} Stunden und {m} Minuten?
        Il est {s}. Quelle heure sera-t-il dans {h} heures et {m} minutes ?
        Son las {s}. ¿Qué hora será dentro de {h} horas y {m} minutos?
        现在{s}，再过{h}小时{m}分钟是几点？
    """), (
        "t = {start} + {h} * 60 + {m}\nf\"{{t // 60 % 24:02d}}:{{t % 60:02d}}\"",
        "from datetime import datetime, timedelta\nt = datetime(2000, 1, 1) + "
        "timedelta(minutes={start} + {h} * 60 + {m})\nt.strftime('%H:%M')",
    )),
    Kind("hours_to_minutes", "taught", "number", _hours_minutes, lines("""
        How many minutes are {h} hours and {m} minutes?
        {h}h {m}min in minutes
        {h} hours {m} minutes = ? minutes
        Convert {h} h {m} min to minutes, please.
        what is {h} hours and {m} min in minutes
        A video is {h} hours and {m} minutes long. How many minutes is that?
        I worked {h} hours {m} minutes. In minutes?
        turn {h}h{m}m into minutes
        how many minits in {h} hours {m} minits
        hello, {h} hrs and {m} mins would be how many minutes altogether?
        The flight takes {h} hours and {m} minutes; give it in minutes.
        express {h} hours, {m} minutes as minutes
        Wie viele Minuten sind {h} Stunden und {m} Minuten?
        Combien de minutes font {h} heures et {m} minutes ?
        ¿Cuántos minutos son {h} horas y {m} minutos?
        {h}小时{m}分钟是多少分钟？
    """), ("{h} * 60 + {m}", "hours = {h}\nhours * 60 + {m}")),
    Kind("minutes_over", "rewarded", "number", _minutes_over, lines("""
        {t} minutes are some full hours and how many minutes?
        If I write {t} minutes as hours and minutes, how many minutes are left beside the hours?
        {t} min: full hours taken off, minutes left?
        Take all whole hours out of {t} minutes. How many minutes remain?
        a trip takes {t} minutes. besides the full hours, how many minutes is that?
        Please tell me the minutes that are over when {t} minutes are turned into full hours.
        {t} minutes in hours leaves how many minutes
        how many minuts are left if i take the hole hours from {t} minuts
        hi! {t} minutes = x hours and how many minutes?
        The video has {t} minutes. Cut into hours, how many minutes stay over?
        Wie viele Minuten bleiben von {t} Minuten, wenn man die vollen Stunden abzieht?
        Combien de minutes restent de {t} minutes sans les heures pleines ?
        ¿Cuántos minutos sobran de {t} minutos al quitar las horas completas?
        {t}分钟去掉整小时还剩多少分钟？
    """)),
    Kind("days_between", "taught", "number", _days_between, lines("""
        How many days are there between {a} and {b}?
        days from {a} to {b}
        {a} until {b}, how many days?
        How many days is it from {a_us} to {b_us}?
        From {a_uk} to {b_uk}: how many days?
        We left on {a_us} and came back on {b_us}. How many days later was that?
        Could you count the days between {a_uk} and {b_uk}, please?
        number of days, {a} -> {b}
        how many dayes betwen {a} and {b}
        hey, today is {a} and my exam is on {b}. how many days do i have
        If it is {a_uk} now, in how many days is {b_uk}?
        What is the difference between {b} and {a} in days?
        Wie viele Tage liegen zwischen dem {a_de} und dem {b_de}?
        Combien de jours y a-t-il entre le {a} et le {b} ?
        ¿Cuántos días hay entre {a} y {b}?
        从{a_zh}到{b_zh}有多少天？
    """), ("from datetime import date\n(date({b_args}) - date({a_args})).days",
           "import datetime\nfirst = datetime.date({a_args})\nlast = datetime.date({b_args})\n(last - first).days")),
    Kind("weekday", "taught", "word", _weekday, lines("""
        What day of the week was {d}?
        weekday of {d}?
        {d_us} is which day of the week?
        On which weekday does {d_uk} fall?
        which day is {d}
        I was born on {d_us}. What day of the week was that?
        Please tell me the weekday of {d_uk}.
        {d}: Monday, Tuesday, ...?
        wich day of the weak was {d}
        hi, we marry on {d_us}, what weekday is it?
        Was {d_uk} a Monday, a Tuesday or what?
        The date is {d}. Name its day of the week in English.
        Welcher Wochentag ist der {d_de}? Bitte auf Englisch.
        Quel jour de la semaine est le {d} ? En anglais, s'il te plaît.
        ¿Qué día de la semana es {d}? En inglés, por favor.
        {d_zh}是星期几？请用英文回答。
    """), ("from datetime import date\ndate({d_args}).strftime('%A')",
           "import calendar\ncalendar.day_name[calendar.weekday({d_args})]"), among=WEEKDAYS),
    Kind("date_after", "taught", "date", _date_after, lines("""
        What is the date {n} days after {d}?
        {d} + {n} days
        which date is {n} days after {d_us}
        Today is {d_uk}. What is the date in {n} days?
        I have {n} days from {d}. When is the last day?
        Please add {n} days to {d_us}.
        {n} days from {d}?
        The trial began on {d_uk} and runs {n} days. On what date does it end?
        what dat is {n} dayes after {d}
        hey if it's {d_us} today then in {n} days it'll be what date?
        A parcel sent on {d} arrives {n} days later. On which date?
        Give me the date {n} days past {d}.
        Welches Datum ist {n} Tage nach dem {d_de}?
        Quelle date sera {n} jours après le {d} ?
        ¿Qué fecha es {n} días después del {d}?
        {d_zh}之后{n}天是几号？
    """), ("from datetime import date, timedelta\nstr(date({d_args}) + timedelta(days={n}))",
           "import datetime\nday = datetime.date({d_args}) + datetime.timedelta({n})\nday.isoformat()")),
    Kind("age", "taught", "number", _age, lines("""
        Someone born in {b} turns how old in {y}?
        born {b}, age in {y}?
        How old does a person born in {b} get in {y}?
        I was born in {b}. How old will I be at the end of {y}?
        If my grandmother was born in {b}, how old did she turn in {y}?
        age at the end of {y} with birth year {b}
        Please tell me the age in {y} of somebody from {b}, birthday included.
        {y} minus birth year {b}, how old
        how old is sombody born {b} at the end of {y}
        hi, my car was built in {b}. how many years old does it get in {y}?
        A house was built in {b}. How many years old was it in {y}?
        In {y}, how many years had passed since {b}?
        Wie alt wird man in {y}, wenn man {b} geboren ist?
        Quel âge a-t-on fin {y} si on est né en {b} ?
        ¿Cuántos años cumple en {y} alguien nacido en {b}?
        {b}年出生的人到{y}年底几岁？
    """), ("{y} - {b}", "born = {b}\n{y} - born")),
    Kind("years_older", "taught", "number", _older, lines("""
        {one} is {a} and {other} is {b}. How many years older is {one}?
        {one} {a}, {other} {b}: age difference?
        How many years older than {other} ({b}) is {one} ({a})?
        If {one} is {a} years old and {other} {b}, how many years are between them?
        {other} is {b} years old and {one} {a}. How much younger is {other}?
        what's the age gap between {one}, {a}, and {other}, {b}
        Please tell me by how many years {one} ({a}) is older than {other} ({b}).
        {one} turned {a}. {other} is only {b}. what's the difference in years
        how mutch older is {one} with {a} then {other} with {b}
        hey quick: {one}={a}, {other}={b}, how many yrs apart?
        {one} has lived {a} years, {other} {b}. By how many years is {one} ahead?
        Compare {one}, who is {a}, with {other}, who is {b}: how many years older is {one}?
        {one} ist {a}, {other} ist {b}. Wie viele Jahre älter ist {one}?
        {one} a {a} ans et {other} {b} ans. Combien d'années de plus a {one} ?
        {one} tiene {a} años y {other} {b}. ¿Cuántos años más tiene {one}?
        {one}{a}岁，{other}{b}岁，{one}大几岁？
    """), ("{a} - {b}", "older = {a}\nyounger = {b}\nolder - younger")),
    Kind("kilometres_to_metres", "taught", "number", _kilometres, lines("""
        How many metres are {k} km?
        {k} km in m
        convert {k} kilometers to meters
        {k} kilometres is how many metres?
        I ran {k} km. How many meters is that?
        Please turn {k} km into metres.
        {k}km = ?m
        what's {k} kilometers in meters
        how many meeters in {k} km
        The lake is {k} km away. How far is that in metres?
        hi there! {k} km, in meters please
        Express a distance of {k} km in m.
        Wie viele Meter sind {k} Kilometer?
        Combien de mètres font {k} kilomètres ?
        ¿Cuántos metros son {k} kilómetros?
        {k}公里是多少米？
    """), ("round({k} * 1000)", "km = {k}\nround(km * 1000)")),
    Kind("celsius_to_fahrenheit", "taught", "number", _fahrenheit, lines("""
        What is {c}°C in Fahrenheit?
        {c} C in F
        convert {c} degrees Celsius to Fahrenheit
        {c} celsius is how many fahrenheit?
        It is {c}°C outside. What is that in °F?
        Please turn {c} °C into degrees Fahrenheit.
        how much is {c}c in fahrenheit
        The oven should be at {c} degrees Celsius. What do I set in Fahrenheit?
        {c}°C = ?°F
        waht is {c} celcius in farenheit
        hey! my american friend asks what {c} Celsius is in Fahrenheit
        Give the Fahrenheit value of {c} degrees C.
        Wie viel Grad Fahrenheit sind {c} Grad Celsius?
        Combien font {c} °C en degrés Fahrenheit ?
        ¿Cuántos grados Fahrenheit son {c} grados Celsius?
        {c}摄氏度是多少华氏度？
    """), ("{c} * 9 // 5 + 32", "c = {c}\nc * 9 / 5 + 32")),
    Kind("kilograms_to_pounds", "taught", "number", _pounds, lines("""
        How many pounds are {k} kg? Use 2.2046 pounds per kilogram and two decimals.
        {k} kg in lb (1 kg = 2.2046 lb), 2 decimals
        convert {k} kilograms to pounds with 2.2046, rounded to two decimals
        At 2.2046 pounds to the kilogram, what are {k} kg in pounds, to two places?
        I weigh {k} kg. What is that in pounds, at 2.2046 each, to two decimals?
        Please turn {k} kg into pounds (2.2046 lb each), rounded to 2 decimals.
        {k}kg -> lbs? factor 2.2046, two decimals
        a parcel of {k} kilos, how many pounds at 2.2046 per kilo, 2 decimals
        how many punds are {k} kg if 1 kg is 2.2046, to 2 decimels
        With one kilogram being 2.2046 pounds: {k} kg is how many pounds, two decimals?
        Wie viel Pfund (lb) sind {k} kg, bei 2.2046 lb je kg, auf zwei Stellen?
        Combien de livres font {k} kg à 2.2046 par kg, à deux décimales ?
        ¿Cuántas libras son {k} kg a 2.2046 por kg, con dos decimales?
        {k}公斤是多少磅？1公斤=2.2046磅，保留两位小数。
    """), ("round({k} * 2.2046, 2)", "kg = {k}\nround(kg * 2.2046, 2)")),
    Kind("speed", "rewarded", "number", _speed, lines("""
        A car drives {d} km in {h} hours. What is its average speed in km/h?
        {d} km in {h} h, speed?
        If I cycle {d} kilometres in {h} hours, how fast am I in km/h?
        average speed for {d}km in {h} hours
        A train needs {h} hours for {d} km. How many km does it go per hour?
        Please work out the speed in km/h: distance {d} km, time {h} hours.
        we did {d} km in {h} hours, so how many km/h
        how fast is {d} km in {h} hours (km/h)
        waht speed is {d} km in {h} ours
        hey, {d} kilometers took us {h} hours. average km/h?
        Wie schnell fährt man bei {d} km in {h} Stunden, in km/h?
        À quelle vitesse roule-t-on si on fait {d} km en {h} heures, en km/h ?
        ¿A qué velocidad va alguien que hace {d} km en {h} horas, en km/h?
        {h}小时走{d}公里，平均时速是多少公里？
    """)),
    Kind("distance", "rewarded", "number", _distance, lines("""
        How far does a train go in {h} hours at {v} km/h?
        {v} km/h for {h} h, distance?
        At {v} km per hour, how many kilometres do I cover in {h} hours?
        If a bus drives {v} km/h for {h} hours, how many km is that?
        distance with {v}km/h in {h} hours
        Please compute how many kilometres one goes at {v} km/h in {h} hours.
        i drive {v} an hour for {h} hours. how many km
        A ship makes {v} km each hour. How many km is it after {h} hours?
        how far in {h} ours with {v} km/h
        hello, doing {v} km/h for {h} hours gets me how many km?
        Wie weit kommt man in {h} Stunden mit {v} km/h?
        Quelle distance parcourt-on en {h} heures à {v} km/h ?
        ¿Cuántos km se recorren en {h} horas a {v} km/h?
        以每小时{v}公里走{h}小时，走了多少公里？
    """)),
    Kind("leap_year", "unseen", "word", _leap, lines("""
        Is {y} a leap year? Answer yes or no.
        {y} leap year? yes/no
        Was {y} a leap year, yes or no?
        does {y} have a 29th of February? yes or no
        Please say yes or no: {y} is a leap year.
        I need to know if the year {y} has 366 days. Yes or no?
        leap year or not: {y} (yes/no)
        Has February 29 days in {y}? yes or no
        is {y} a leep year, yes or no
        hi! yes or no, {y} leap year?
        Ist {y} ein Schaltjahr? Antworte yes oder no.
        {y} est-elle une année bissextile ? Réponds yes ou no.
        ¿Es {y} un año bisiesto? Responde yes o no.
        {y}年是闰年吗？请回答yes或no。
    """), among=("yes", "no")),
    Kind("seconds", "unseen", "number", _seconds, lines("""
        How many seconds are {h} hours, {m} minutes and {s} seconds?
        {h}h {m}min {s}s in seconds
        convert {h}:{m:02d}:{s:02d} to seconds
        {h} hours {m} minutes {s} seconds, in seconds altogether?
        A marathon took {h} hours {m} minutes and {s} seconds. How many seconds is that?
        Please give {h} h {m} min {s} s in seconds.
        total seconds of {h} hours {m} mins {s} secs
        the timer says {h}:{m:02d}:{s:02d}. seconds in all?
        how meny seconds in {h} hours {m} minuts and {s} seconds
        hey what's {h}h{m}m{s}s as seconds
        Wie viele Sekunden sind {h} Stunden, {m} Minuten und {s} Sekunden?
        Combien de secondes font {h} heures, {m} minutes et {s} secondes ?
        ¿Cuántos segundos son {h} horas, {m} minutos y {s} segundos?
        {h}小时{m}分{s}秒一共多少秒？
    """)),
)  # fmt: skip
