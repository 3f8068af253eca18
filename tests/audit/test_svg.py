"""Charts: well-formed, escaped, named for those who do not see them, and in the page's colours."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from clearseek.report import svg

EVIL = "<script>&\"'"
CHARTS = {
    "bands": svg.bands(EVIL, EVIL, [svg.Band(EVIL, 0, 0.5, "good"), svg.Band("b", 0.5, 2.0, "bad")],
                       [svg.Mark(EVIL, 0.39, EVIL, True), svg.Mark("over", 7.0, "700%")]),
    "bars": svg.bars(EVIL, EVIL, [svg.Bar(EVIL, 1, 3, EVIL, 2), svg.Bar("b", 0.1, 900, "c", strong=True)], unit="days"),
    "log bars": svg.bars("t", "d", [svg.Bar("a", 1e-3, 3e6, "x", 2)], unit="days", log=True),
    "tornado": svg.tornado(EVIL, EVIL, [svg.Bar(EVIL, 0.2, 0.5, EVIL, warn=True)], middle=0.39),
    "lines": svg.lines(EVIL, EVIL, [svg.Line(EVIL, [(1, 100), (100, 1)], True)], x_label=EVIL, y_label="days",
                       point=(10, 10, EVIL)),
}  # fmt: skip


@pytest.mark.parametrize("name", CHARTS)
def test_it_is_one_well_formed_element(name: str) -> None:
    root = ElementTree.fromstring(CHARTS[name])
    assert root.tag.endswith("svg")
    assert root.get("role") == "img"
    assert [child.tag.split("}")[-1] for child in root][:2] == ["title", "desc"]
    assert not any("script" in element.tag for element in root.iter())


@pytest.mark.parametrize("name", CHARTS)
def test_nothing_is_drawn_outside_or_in_a_fixed_colour(name: str) -> None:
    root = ElementTree.fromstring(CHARTS[name])
    _, _, width, height = map(float, str(root.get("viewBox")).split())
    for element in root.iter():
        for key in ("x", "x1", "x2", "cx"):
            assert -1 <= float(element.get(key, 0)) <= width + 1
        for key in ("y", "y1", "y2", "cy"):
            assert -1 <= float(element.get(key, 0)) <= height + 1
        for key in ("fill", "stroke"):
            assert re.fullmatch(r"none|var\(--[a-z0-9-]+\)", element.get(key, "none"))


def test_a_value_beyond_the_ruler_is_held_at_its_end() -> None:
    circles = [e for e in ElementTree.fromstring(CHARTS["bands"]).iter() if e.tag.endswith("circle")]
    assert float(circles[1].get("cx", 0)) <= svg.WIDTH - 60


def test_nothing_to_draw_draws_nothing() -> None:
    assert svg.bars("t", "d", [], unit="") == ""
    assert svg.tornado("t", "d", [], middle=0.1) == ""
    assert svg.bars("t", "d", [svg.Bar("a", 0.0, 0.0, "")], unit="", log=True) == ""
    assert svg.lines("t", "d", [], x_label="", y_label="") == ""


def test_long_words_at_the_right_end_have_room() -> None:
    text = "7.33M to 13.2M chip-hours"
    chart = ElementTree.fromstring(svg.bars("t", "d", [svg.Bar("a", 7e6, 13e6, text)], unit="", log=True))
    told = next(e for e in chart.iter() if e.text == text)
    assert float(told.get("x", 0)) + 6.5 * len(text) <= svg.WIDTH
