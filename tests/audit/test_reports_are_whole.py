"""Every line of the arithmetic, every check and every warning of an examination stands in each report of it."""

from __future__ import annotations

import html
import re

import pytest

from clearseek.audit import examine, library, load_claim
from clearseek.audit.html_report import html_page


def words(page: str) -> str:
    """A page's text, white space folded."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


@pytest.mark.parametrize("name", library.names())
def test_the_page_shows_every_line(name: str) -> None:
    examined = examine(load_claim(name))
    page = words(html_page(examined))
    for line in examined.lines:
        assert re.sub(r"\s+", " ", line.label) in page, line.label
        assert re.sub(r"\s+", " ", str(line.shown)) in page, line.label
