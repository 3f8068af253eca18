"""Pages that stand alone, and numbers as people read them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearseek.ledger.quantity import declared, measured, modelled, unknown
from clearseek.report import page as pages
from clearseek.report.figures import figure, say
from clearseek.report.page import Html, basis_mark, definitions, element, escape, items, join, number, page, table


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "hr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@given(st.text(), st.text(), st.text())
def test_no_text_becomes_markup(title: str, cell: str, how: str) -> None:
    body = join(
        items([cell]),
        definitions({cell: cell}),
        table([cell], [[cell, number(measured(1, "s", how))]], caption=cell, foot=[cell]),
        element("p", cell, title=cell),
    )
    tags = Tags(page(title, body))
    ours = {"html", "head", "meta", "title", "style", "body", "main", "h1", "ul", "li", "dl", "div", "dt", "dd", "p"}
    ours |= {"table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "span"}
    assert {tag for tag, _ in tags.found} <= ours
    assert all(not name.startswith("on") for _, attributes in tags.found for name in attributes)


def test_a_page_stands_alone_and_can_run_nothing() -> None:
    text = page("Title & <b>", join(escape("<i>")))
    assert "<title>Title &amp; &lt;b&gt;</title>" in text
    assert "<script" not in text
    assert not re.search(r"https?://|url\(|@import", text)
    (policy,) = [a["content"] for t, a in Tags(text).found if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy


def test_html_is_not_escaped_twice_and_names_are_checked() -> None:
    assert escape(escape("<")) == "&lt;"
    assert isinstance(join("a", Html("<b>")), Html)
    assert element("br") == "<br>"
    assert element("p", None, class_="x", hidden=True, title=None) == '<p class="x" hidden></p>'
    with pytest.raises(ValueError, match="no tag"):
        element("p onload=x")
    with pytest.raises(ValueError, match="no attribute"):
        element("p", **{"x y": "z"})


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (4.69e6, "s", "54.3 d"),
        (75.3, "s", "75.3 s"),
        (0.0123, "s", "12.3 ms"),
        (0, "s", "0 s"),
        (9000, "s", "2.50 h"),
        (3.7071e24, "FLOP", "3.71 × 10²⁴ FLOP"),
        (2.5e11, "FLOP", "250 GFLOP"),
        (1, "token", "1 token"),
        (123456, "token", "123,456 tokens"),
        (14.8e12, "token", "14.8T tokens"),
        (0.0021, "USD", "$0.00210"),
        (5576000, "USD", "$5.58M"),
        (1234.5, "USD", "$1,234.50"),
        (0, "USD", "$0"),
        (39.08, "percent", "39.1%"),
        (2.664e6, "chip*h", "2.66M chip·h"),
        (7.2e6, "J", "2 kWh"),
        (float("inf"), "s", "infinite s"),
    ],
)
def test_figures(value: float, unit: str, said: str) -> None:
    assert figure(value, unit) == said


def test_an_interval_keeps_one_scale() -> None:
    assert say(modelled(90, "s", low=30, high=600)) == "1.50 min (0.500 to 10)"
    assert say(measured(90, "s", low=90, high=90)) == "90 s"
    assert say(unknown("USD")) == "unknown"


@given(st.floats(allow_nan=False), st.sampled_from(["s", "J", "USD", "token", "FLOP", "", "percent", "chip*h", "odd"]))
def test_any_number_can_be_said(value: float, unit: str) -> None:
    assert figure(value, unit)


def test_every_number_shows_its_basis_in_words() -> None:
    for quantity, word in (
        (measured(1, "s", "wall clock"), "measured"),
        (modelled(1, "J", "watts x seconds"), "modelled"),
        (declared(1, "USD", "an invoice"), "declared"),
        (unknown("USD", "no price declared"), "unknown"),
    ):
        mark = basis_mark(quantity)
        assert f'class="basis {word}"' in mark
        assert f"({word})" in mark
        assert quantity.how in mark
        assert mark in number(quantity)
    assert "unknown" in number(unknown("USD"))
    assert pages.basis_legend().count("<li>") == 4
