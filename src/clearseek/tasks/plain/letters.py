"""Letters, words and lists: counting, spelling, sorting, cleaning up."""

from __future__ import annotations

import random
from typing import Any

from clearseek.tasks.plain.kind import Kind, lines, listed

Drawn = tuple[dict[str, Any], Any]
WORDS = (
    "apple banana bridge butter camera candle carpet castle cheese cherry circle coffee copper cotton "
    "desert dragon engine family finger flower forest garden ginger guitar hammer harbor honey island "
    "jacket jungle kettle kitchen ladder lemon letter lizard magnet marble market meadow melon mirror "
    "monkey mountain museum napkin needle nephew ocean office olive onion orange oyster paper parrot "
    "pencil pepper picnic pillow planet pocket potato pumpkin puzzle rabbit ribbon river rocket saddle "
    "salmon school shadow silver singer spider spring squirrel station stone summer sunset table temple "
    "ticket tiger tomato tractor travel treasure tunnel turtle valley velvet violin walnut window winter "
    "wizard yellow zebra millennium rhythm xylophone quartz quinoa vacuum bookkeeper committee "
    "Mississippi onomatopoeia papaya cocoa llama aardvark"
).split()
NAMES = (
    "Anna Ben Chloe Daniel Emma Farid Grace Hugo Ines Jonas Kim Luca Mia Noah Olga Pablo Quinn Rosa Sami Tara".split()
)


def _letter(rng: random.Random) -> Drawn:
    word = rng.choice(WORDS)
    letter = rng.choice(sorted(set(word.lower()))) if rng.random() < 0.85 else rng.choice("abcdefghijklmnopqrstuvwxyz")
    return {"w": word, "l": letter}, word.lower().count(letter)


def _reversed(rng: random.Random) -> Drawn:
    word = rng.choice(WORDS).lower()
    return {"w": word}, word[::-1]


def _sentence(rng: random.Random) -> str:
    return " ".join(rng.sample(WORDS, rng.randint(3, 9))).lower()


def _words(rng: random.Random) -> Drawn:
    text = _sentence(rng)
    return {"t": text}, len(text.split())


def _characters(rng: random.Random) -> Drawn:
    word = rng.choice(WORDS)
    return {"w": word}, len(word)


def _sorted_words(rng: random.Random) -> Drawn:
    words = [word.lower() for word in rng.sample(WORDS, rng.randint(3, 7))]
    return {"ws": words, "said": ", ".join(words), "and": listed(words)}, sorted(words)


def _sorted_numbers(rng: random.Random) -> Drawn:
    xs = rng.sample(range(1, 400), rng.randint(4, 8))
    return {"xs": xs, "said": ", ".join(map(str, xs)), "spaced": " ".join(map(str, xs))}, sorted(xs)


def _descending(rng: random.Random) -> Drawn:
    fields, _ = _sorted_numbers(rng)
    return fields, sorted(fields["xs"], reverse=True)


def _largest(rng: random.Random) -> Drawn:
    fields, _ = _sorted_numbers(rng)
    return fields, max(fields["xs"])


def _evens(rng: random.Random) -> Drawn:
    xs = rng.sample(range(1, 200), rng.randint(5, 9))
    xs[0], xs[1] = 2 * rng.randint(100, 130), 2 * rng.randint(131, 160)
    rng.shuffle(xs)
    return {"xs": xs, "said": ", ".join(map(str, xs))}, [x for x in xs if x % 2 == 0]


def _above(rng: random.Random) -> Drawn:
    xs = rng.sample(range(1, 200), rng.randint(5, 9))
    limit = sorted(xs)[len(xs) // 2]
    return {"xs": xs, "said": ", ".join(map(str, xs)), "k": limit}, sum(x > limit for x in xs)


def _vowels(rng: random.Random) -> Drawn:
    word = rng.choice(WORDS).lower()
    return {"w": word}, sum(letter in "aeiou" for letter in word)


def _palindrome(rng: random.Random) -> Drawn:
    half = rng.choice(WORDS).lower()[: rng.randint(2, 4)]
    word = half + half[::-1][rng.randint(0, 1) :]
    if rng.random() < 0.5:
        word = rng.choice(WORDS).lower() if rng.random() < 0.5 else word[:-1] + rng.choice("bdk")
    return {"w": word}, "yes" if word == word[::-1] else "no"


def _mode(rng: random.Random) -> Drawn:
    xs = rng.sample(range(1, 30), 4)
    often = rng.choice(xs)
    xs += [often] * 2 + [rng.choice([x for x in xs if x != often])]
    rng.shuffle(xs)
    return {"xs": xs, "said": ", ".join(map(str, xs))}, often


def _range(rng: random.Random) -> Drawn:
    fields, _ = _sorted_numbers(rng)
    return fields, max(fields["xs"]) - min(fields["xs"])


def _initials(rng: random.Random) -> Drawn:
    words = [word.capitalize() for word in rng.sample(WORDS, rng.randint(3, 5))]
    return {"t": " ".join(words)}, "".join(word[0] for word in words)


def _titled(rng: random.Random) -> Drawn:
    text = _sentence(rng)
    return {"t": text}, " ".join(word.capitalize() for word in text.split())


def _unique(rng: random.Random) -> Drawn:
    words = [rng.choice(NAMES) for _ in range(rng.randint(4, 6))]
    words += rng.sample(words, 2)
    return {"said": ", ".join(words)}, list(dict.fromkeys(words))


def _longest(rng: random.Random) -> Drawn:
    while True:
        words = [word.lower() for word in rng.sample(WORDS, rng.randint(4, 7))]
        lengths = sorted(map(len, words))
        if lengths[-1] > lengths[-2]:
            return {"said": ", ".join(words), "among": words}, max(words, key=len)


def _anagram(rng: random.Random) -> Drawn:
    word = rng.choice([word for word in WORDS if len(word) < 8]).lower()
    other = list(word)
    rng.shuffle(other)
    text = "".join(other)
    if rng.random() < 0.5:
        text = text[:-1] + rng.choice([letter for letter in "aeioust" if letter != text[-1]])
    return {"w": word, "v": text}, "yes" if sorted(word) == sorted(text) else "no"


KINDS = (
    Kind("count_letter", "taught", "number", _letter, lines("""
        How many times does the letter {l} occur in {w}?
        how many {l} in {w}
        count the {l}'s in "{w}"
        How often is there a "{l}" in the word "{w}"?
        Please count the letter {l} in {w}, capital or small.
        {w}: number of {l}?
        In "{w}", how many letters are {l}?
        hey, how many {l}s does {w} have?
        how many {l} are their in {w}
        Tell me how often {l} appears in the word {w}.
        number of "{l}" in "{w}" please
        If you spell {w}, how many times do you write {l}?
        Wie oft kommt der Buchstabe {l} in {w} vor?
        Combien de fois la lettre {l} apparaît-elle dans {w} ?
        ¿Cuántas veces aparece la letra {l} en {w}?
        单词{w}里有几个字母{l}？
    """), ("'{w}'.lower().count('{l}')", "word = '{w}'.lower()\nword.count('{l}')")),
    Kind("spell_backward", "taught", "text", _reversed, lines("""
        Spell {w} backwards.
        {w} backward
        reverse the word {w}
        What is "{w}" written backwards?
        Please write {w} from the last letter to the first.
        how do you spell {w} in reverse
        Turn "{w}" around, letter by letter.
        {w} reversed?
        spel {w} backwords
        hi! can you flip the letters of {w}
        Read {w} from right to left: what do you get?
        Give me the letters of {w} in reverse order, as one word.
        Schreibe {w} rückwärts.
        Écris {w} à l'envers.
        Escribe {w} al revés.
        把{w}倒过来写。
    """), ("'{w}'[::-1]", "word = '{w}'\n''.join(reversed(word))")),
    Kind("count_words", "taught", "number", _words, lines("""
        How many words are there in "{t}"?
        word count: {t}
        count the words: "{t}"
        How many words does this text have: {t}
        Please count the words in: {t}
        number of words in "{t}"?
        hey how many words is this: {t}
        The note says "{t}". How many words is that?
        how meny words in "{t}"
        Tell me the number of words of the line "{t}".
        In the sentence "{t}", how many words do you see?
        "{t}" has how many words?
        Wie viele Wörter hat "{t}"?
        Combien de mots y a-t-il dans "{t}" ?
        ¿Cuántas palabras hay en "{t}"?
        "{t}"里有几个单词？
    """), ("len('{t}'.split())", "text = '{t}'\nlen(text.split())")),
    Kind("count_characters", "taught", "number", _characters, lines("""
        How many letters does {w} have?
        length of {w}
        how long is the word "{w}"
        Count the letters of {w}, please.
        {w}: how many letters?
        How many characters are in "{w}"?
        hey, letters in {w}?
        Tell me how many letters you need to write {w}.
        how meny leters in {w}
        The word is {w}. Its number of letters?
        What is the length of the word "{w}"?
        number of letters, word {w}
        Wie viele Buchstaben hat {w}?
        Combien de lettres a le mot {w} ?
        ¿Cuántas letras tiene {w}?
        {w}有几个字母？
    """), ("len('{w}')", "word = '{w}'\nlen(word)")),
    Kind("sort_words", "taught", "list", _sorted_words, lines("""
        Sort these words alphabetically: {said}
        {said} in alphabetical order
        alphabetize: {said}
        Put {and} in alphabetical order.
        Please sort {said} from A to Z.
        order these A-Z: {said}
        My list is {said}. Can you sort it by the alphabet?
        hi, could you alphabetise {and}?
        srot alphabeticaly: {said}
        Arrange the words {said} as a dictionary would.
        Which order do {said} have in a dictionary?
        a to z please: {said}
        Sortiere alphabetisch: {said}
        Classe par ordre alphabétique : {said}
        Ordena alfabéticamente: {said}
        按字母顺序排列：{said}
    """), ("', '.join(sorted({ws}))", "words = {ws}\nwords.sort()\n', '.join(words)")),
    Kind("sort_numbers", "taught", "list", _sorted_numbers, lines("""
        Sort these numbers from smallest to largest: {said}
        {said} ascending
        sort {said}
        Put {said} in increasing order.
        Please order {said} from small to big.
        numbers in order: {spaced}
        My scores were {said}. Sort them, lowest first.
        hey sort this for me low to high: {spaced}
        srot these numbrs from smal to big: {said}
        Arrange {said} starting with the least.
        What is {said} in ascending order?
        lowest to highest: {spaced}
        Sortiere aufsteigend: {said}
        Trie par ordre croissant : {said}
        Ordena de menor a mayor: {said}
        从小到大排列：{said}
    """), ("sorted({xs})", "numbers = {xs}\nnumbers.sort()\nnumbers")),
    Kind("sort_descending", "taught", "list", _descending, lines("""
        Sort these numbers from largest to smallest: {said}
        {said} descending
        sort {said}, biggest first
        Put {said} in decreasing order.
        Please order {said} from big to small.
        high to low: {spaced}
        My scores were {said}. Sort them, highest first.
        hey sort this for me high to low: {spaced}
        srot these from big too small: {said}
        Arrange {said} starting with the greatest.
        What is {said} in descending order?
        largest to smallest please, {spaced}
        Sortiere absteigend: {said}
        Trie par ordre décroissant : {said}
        Ordena de mayor a menor: {said}
        从大到小排列：{said}
    """), ("sorted({xs}, reverse=True)", "numbers = {xs}\nnumbers.sort(reverse=True)\nnumbers")),
    Kind("largest", "taught", "number", _largest, lines("""
        Which is the largest of {said}?
        max of {said}
        biggest number: {spaced}
        What is the greatest number in {said}?
        Please find the highest of these: {said}
        the maximum of {spaced}?
        Our temperatures were {said}. Which was the highest?
        hi what's the biggest one here: {spaced}
        wich is the bigest of {said}
        Of {said}, which number is the largest?
        Find the largest value: {said}
        top score out of {said}?
        Was ist die größte Zahl von {said}?
        Quel est le plus grand nombre parmi {said} ?
        ¿Cuál es el mayor de {said}?
        {said}中最大的数是哪个？
    """), ("max({xs})", "numbers = {xs}\nmax(numbers)")),
    Kind("even_numbers", "taught", "list", _evens, lines("""
        Which of these numbers are even: {said}?
        even numbers in {said}
        list the evens: {said}
        Pick the even numbers out of {said}.
        Please keep only the even ones: {said}
        from {said} take the even numbers
        I have {said}. Which are even? Keep their order.
        hey only evens from {said} pls
        wich of {said} are evan
        Remove all odd numbers from {said}.
        What is left of {said} without the odd numbers?
        filter even: {said}
        Welche dieser Zahlen sind gerade: {said}?
        Lesquels de ces nombres sont pairs : {said} ?
        ¿Cuáles de estos números son pares: {said}?
        {said}中哪些是偶数？
    """), ("[x for x in {xs} if x % 2 == 0]",
           "evens = []\nfor x in {xs}:\n    if x % 2 == 0:\n        evens.append(x)\nevens")),
    Kind("count_above", "taught", "number", _above, lines("""
        How many of {said} are greater than {k}?
        count > {k}: {said}
        how many numbers above {k} in {said}
        Of the numbers {said}, how many are larger than {k}?
        Please count those of {said} that are over {k}.
        My marks: {said}. How many are above {k}?
        {said} - how many exceed {k}?
        hey how many of these are more than {k}: {said}
        how meny of {said} are biger than {k}
        On how many days was it above {k} if the values were {said}?
        Among {said}, the number of values higher than {k} is?
        number of entries over {k}: {said}
        Wie viele von {said} sind größer als {k}?
        Combien de nombres parmi {said} dépassent {k} ?
        ¿Cuántos de {said} son mayores que {k}?
        {said}中有几个数大于{k}？
    """), ("sum(x > {k} for x in {xs})", "len([x for x in {xs} if x > {k}])")),
    Kind("count_vowels", "rewarded", "number", _vowels, lines("""
        How many vowels are in {w}? Count a, e, i, o and u.
        vowels in {w} (a e i o u)
        number of vowels of the word "{w}", y not counted
        Count a, e, i, o, u in {w}, please.
        how many of the letters of {w} are a, e, i, o or u
        {w}: how many vowels (aeiou)?
        hey how many vowels does {w} have, without y
        The word {w} has how many of the vowels a, e, i, o, u?
        how meny vowls (aeiou) in {w}
        Tell me the number of vowels, aeiou, in "{w}".
        Wie viele Vokale (a, e, i, o, u) hat {w}?
        Combien de voyelles (a, e, i, o, u) y a-t-il dans {w} ?
        ¿Cuántas vocales (a, e, i, o, u) tiene {w}?
        {w}里有几个元音字母（a、e、i、o、u）？
    """)),
    Kind("palindrome", "rewarded", "word", _palindrome, lines("""
        Is "{w}" a palindrome? Answer yes or no.
        {w} palindrome? yes/no
        Does {w} read the same backwards? yes or no
        yes or no: {w} is the same from both ends
        Please say yes or no: is {w} a palindrome?
        is the word {w} a palindrome, yes or no
        Read backwards, is {w} still {w}? Yes or no.
        hey yes/no, {w} is a palindrome?
        is {w} a palindrom, yes or no
        If I turn {w} around, do I get {w} again? Answer yes or no.
        Ist {w} ein Palindrom? Antworte yes oder no.
        {w} est-il un palindrome ? Réponds yes ou no.
        ¿Es {w} un palíndromo? Responde yes o no.
        {w}是回文吗？请回答yes或no。
    """), among=("yes", "no")),
    Kind("mode", "unseen", "number", _mode, lines("""
        Which number occurs most often in {said}?
        mode of {said}
        most frequent number: {said}
        What is the mode of these numbers: {said}?
        Please find the number that comes up most in {said}.
        which one is there most often: {said}
        In {said}, which value is the commonest?
        hey what's the mode here {said}
        most comon number in {said}
        The answers were {said}. Which was given most often?
        Welche Zahl kommt am häufigsten vor: {said}?
        Quel nombre est le plus fréquent dans {said} ?
        ¿Qué número aparece más veces en {said}?
        {said}中出现最多的数是哪个？
    """)),
    Kind("range", "unseen", "number", _range, lines("""
        What is the range of {said}, the largest minus the smallest?
        range of {said} (max - min)
        difference between the biggest and smallest of {said}
        How far apart are the largest and the smallest of {said}?
        Please subtract the smallest from the largest: {said}
        max minus min of {spaced}
        The temperatures were {said}. By how much did the highest exceed the lowest?
        hey biggest minus smallest of {spaced}?
        diference of bigest and smalest in {said}
        Of {said}, take the highest and the lowest: what is their difference?
        Wie groß ist die Differenz zwischen der größten und der kleinsten Zahl von {said}?
        Quelle est la différence entre le plus grand et le plus petit de {said} ?
        ¿Cuál es la diferencia entre el mayor y el menor de {said}?
        {said}中最大数减最小数是多少？
    """)),
    Kind("initials", "unseen", "text", _initials, lines("""
        What are the initials of "{t}"?
        initials: {t}
        first letters of {t}
        Make an acronym of {t}.
        Please take the first letter of each word in "{t}" and join them.
        abbreviate {t} by its initials
        {t}, as an acronym?
        hey what's the acronym for {t}
        inital letters of {t}
        Which letters do the words of "{t}" begin with, written together?
        Bilde die Anfangsbuchstaben von "{t}".
        Quelles sont les initiales de "{t}" ?
        ¿Cuáles son las iniciales de "{t}"?
        "{t}"的首字母缩写是什么？
    """)),
    Kind("capitalise", "unseen", "text", _titled, lines("""
        Capitalise the first letter of every word: {t}
        title case: {t}
        {t} with capital first letters
        Write "{t}" so that each word begins with a capital letter.
        Please make every first letter upper case: {t}
        capitalize each word in "{t}"
        turn "{t}" into title case
        hey capitalise this like a title: {t}
        capitalze evry word: {t}
        Each word of "{t}" should start with a capital. Write it down.
        Schreibe jedes Wort groß: {t}
        Mets une majuscule à chaque mot : {t}
        Pon mayúscula inicial a cada palabra: {t}
        把每个单词的首字母大写：{t}
    """)),
    Kind("remove_duplicates", "unseen", "list", _unique, lines("""
        Remove the duplicates from this list: {said}
        unique names: {said}
        dedupe {said}
        List each name once, in order: {said}
        Please take out names that come twice: {said}
        {said} without repeats
        My guest list is {said}. Some are there twice. Give me each once.
        hey clean up doubles: {said}
        remove dublicates: {said}
        Who is on the list {said}, each only once?
        Entferne doppelte Namen: {said}
        Supprime les doublons : {said}
        Quita los repetidos: {said}
        去掉重复的名字：{said}
    """)),
    Kind("longest_word", "unseen", "word", _longest, lines("""
        Which is the longest of these words: {said}?
        longest word: {said}
        of {said}, which has the most letters
        Find the longest word in {said}.
        Please name the word with the most letters: {said}
        which one is longest, {said}
        Among {said}, the longest word is?
        hey longest of {said}?
        wich is the longst word: {said}
        The words are {said}. Which of them has the most letters?
        Welches Wort ist das längste: {said}?
        Quel est le mot le plus long : {said} ?
        ¿Cuál es la palabra más larga: {said}?
        {said}中最长的单词是哪个？
    """)),
    Kind("anagram", "unseen", "word", _anagram, lines("""
        Are "{w}" and "{v}" anagrams of each other? Answer yes or no.
        {w} / {v} anagram? yes/no
        Is {v} made of exactly the letters of {w}? yes or no
        yes or no: {v} is an anagram of {w}
        Please say yes or no: can {w} be rearranged into {v}?
        do {w} and {v} have the same letters, yes or no
        If I shuffle the letters of {w}, can I get {v}? Yes or no.
        hey yes/no, are {w} and {v} anagrams
        is {v} an anagramm of {w}, yes or no
        Answer yes or no: {w} and {v} consist of the same letters.
        Ist {v} ein Anagramm von {w}? Antworte yes oder no.
        {v} est-il une anagramme de {w} ? Réponds yes ou no.
        ¿Es {v} un anagrama de {w}? Responde yes o no.
        {v}是{w}的变位词吗？请回答yes或no。
    """), among=("yes", "no")),
)  # fmt: skip
