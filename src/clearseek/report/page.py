"""One self-contained HTML document: paper and ink, light and dark, no script, nothing fetched from anywhere.

    page("A title", join(heading("What"), paragraph("Text is escaped."), table(["a", "b"], [["1", number(q)]])))

Text given as `str` is escaped wherever it is put; only `Html` is taken as it is.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from clearseek.report.figures import WORDS, Figure, basis_words, say


class Html(str):
    """Text that is HTML already. Made by the functions here; never out of what somebody else wrote."""

    __slots__ = ()


_VOID = {"br", "hr", "img", "meta"}
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*\Z")

# No script can run and nothing can be fetched, whatever the body holds; styles are in the page.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def escape(value: object) -> Html:
    """Text as HTML. What is `Html` already is not escaped again."""
    return value if isinstance(value, Html) else Html(html.escape(str(value), quote=True))


def join(*parts: object, by: str = "") -> Html:
    """Parts one after the other; None is left out."""
    return Html(escape(by).join(escape(part) for part in parts if part is not None))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """`<tag ...>children</tag>`. An attribute that is None or False is left out; `class_` is `class`, `aria_label`
    is `aria-label`. Raises ValueError for a tag or attribute name that is none."""
    given = []
    for name, value in attributes.items():
        name = name.rstrip("_").replace("_", "-")
        if not _NAME.match(name):
            raise ValueError(f"`{name}` is no attribute")
        if value is None or value is False:
            continue
        given.append(f" {name}" if value is True else f' {name}="{html.escape(str(value), quote=True)}"')
    if not _NAME.match(tag):
        raise ValueError(f"`{tag}` is no tag")
    opened = f"<{tag}{''.join(given)}>"
    return Html(opened if tag in _VOID else f"{opened}{join(*children)}</{tag}>")


def heading(text: object, level: int = 2, **attributes: object) -> Html:
    return element(f"h{level}", text, **attributes)


def paragraph(*children: object, **attributes: object) -> Html:
    return element("p", *children, **attributes)


def section(title: object, *children: object, **attributes: object) -> Html:
    """A heading and what stands under it, with a hairline above."""
    return element("section", heading(title), *children, **attributes)


def items(lines: Iterable[object]) -> Html:
    """A list with a line for each."""
    return element("ul", *(element("li", line) for line in lines))


def definitions(pairs: Mapping[str, object] | Iterable[tuple[object, object]]) -> Html:
    """A list of names and what they are, side by side."""
    them = pairs.items() if isinstance(pairs, Mapping) else pairs
    return element("dl", *(element("div", element("dt", name), element("dd", value)) for name, value in them))


def table(
    columns: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    caption: object | None = None,
    numeric: Iterable[int] = (),
    foot: Sequence[object] | None = None,
) -> Html:
    """A table; the first cell of each row is its heading. Columns in `numeric` are set right-aligned.

    `foot` is a row of totals. A table wider than the screen scrolls within its own box.
    """
    right = frozenset(numeric)

    def row(cells: Sequence[object], head: bool = False) -> Html:
        made = []
        for index, cell in enumerate(cells):
            kind = "n" if index in right else None
            if head:
                made.append(element("th", cell, scope="col", class_=kind))
            elif index == 0:
                made.append(element("th", cell, scope="row", class_=kind))
            else:
                made.append(element("td", cell, class_=kind))
        return element("tr", *made)

    whole = element(
        "table",
        element("caption", caption) if caption is not None else None,
        element("thead", row(columns, head=True)),
        element("tbody", *(row(cells) for cells in rows)),
        element("tfoot", row(foot)) if foot is not None else None,
    )
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption or "table")


def basis_mark(number: Figure) -> Html:
    """The small mark of a number's basis; hover or a screen reader tells it in words, and it is copied as a word."""
    basis = str(number.basis)
    kind = basis if basis in WORDS else "unknown"
    return element(
        "span", element("span", f" ({basis})", class_="off"), class_=f"basis {kind}", title=basis_words(number)
    )


def number(quantity: Figure, *, digits: int = 3) -> Html:
    """A quantity with its unit, its interval and the mark of its basis; the exact value is in the tooltip."""
    if quantity.value is None:
        return element("span", "unknown", basis_mark(quantity), class_="q none", title=basis_words(quantity))
    exact = f"{quantity.value:.15g} {quantity.unit}".rstrip()
    if quantity.low is not None and quantity.high is not None:
        exact += f", between {quantity.low:.15g} and {quantity.high:.15g}"
    shown, _, interval = say(quantity, digits=digits).partition(" (")
    message = join(shown, element("small", f" ({interval}") if interval else None)
    return element("span", element("span", message, title=exact), basis_mark(quantity), class_="q")


def basis_legend() -> Html:
    """What the marks mean, for the foot of a page."""
    lines = (
        element(
            "li", element("span", class_=f"basis {basis}", aria_hidden="true"), " ", element("b", basis), f": {words}"
        )
        for basis, words in WORDS.items()
    )
    return element("ul", *lines, class_="legend")


def digest(hexadecimal: str) -> Html:
    """A digest in a fixed-width face that may break anywhere."""
    return element("code", hexadecimal, class_="digest")


def page(title: str, body: Html, *, lang: str = "en") -> str:
    """The whole document, as text to be written in UTF-8. `body` goes into `<main>` after the title."""
    head = join(
        element("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY, quote=True)}">'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        Html(f"<style>{_style()}</style>"),
        by="\n",
    )
    main = element("main", heading(title, 1), body)
    opened = f'<html lang="{html.escape(lang, quote=True)}">'
    return f"<!doctype html>\n{opened}\n<head>\n{head}\n</head>\n<body>\n{main}\n</body>\n</html>\n"


@functools.cache
def _style() -> str:
    return resources.files("clearseek.report").joinpath("page.css").read_text("utf-8")
