"""Shares drawn from 0 to 100%: places, whiskers, names that do not overlap, text that is escaped."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from clearseek.report.interval_plot import Point, Series, Share, ShareRow, interval_plot, share_bars
from clearseek.report.svg import apart


def drawn(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(markup)


def test_bars_of_different_charts_have_the_same_axis() -> None:
    rows = [ShareRow("a<b", [Share(0.5, 0.4, 0.6, "50%"), Share(1.0, 0.9, 1.0, "100%", strong=True)])]
    low = [ShareRow("low", [Share(0.01, 0.0, 0.05, "1%")])]
    one, two = (share_bars("t", "d", some) for some in (rows, low))
    assert "a&lt;b" in one
    widths = [float(rect.get("width", "0")) for rect in drawn(one).iter("{http://www.w3.org/2000/svg}rect")]
    assert widths[1] == 2 * widths[0]
    (small,) = [float(rect.get("width", "0")) for rect in drawn(two).iter("{http://www.w3.org/2000/svg}rect")]
    assert small == round(widths[1] / 100, 1)
    assert share_bars("t", "d", []) == ""


def test_points_stand_in_the_order_of_their_size_and_off_comes_first() -> None:
    series = [
        Series("trained", [Point(-1, "off", 0.1, 0.0, 0.2), Point(64, "64", 0.5, 0.4, 0.6)], strong=True),
        Series("unseen", [Point(-1, "off", 0.1, 0.0, 0.2), Point(256, "256", 0.51, 0.4, 0.6)]),
    ]
    markup = interval_plot("t", "d", series, x_label="tokens")
    drawn(markup)
    places = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', markup)]
    assert places[0] == places[2] < places[1] < places[3]
    assert interval_plot("t", "d", [], x_label="tokens") == ""
    assert interval_plot("t", "d", [Series("none", [])], x_label="tokens") == ""


def test_names_keep_their_distance() -> None:
    assert apart([10.0, 12.0, 40.0], 14.0) == [10.0, 24.0, 40.0]
    assert apart([12.0, 10.0], 14.0) == [24.0, 10.0]
