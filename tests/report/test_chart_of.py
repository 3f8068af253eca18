"""A chart taken out of a page stands alone: whole XML, no variables, the page's light colours."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from clearseek.errors import UserError
from clearseek.report.page import join, page
from clearseek.report.svg import Bar, bars

TOOL = Path(__file__).parents[2] / "tools" / "chart_of.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chart_of", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_chart_is_found_by_the_beginning_of_its_title(tool: ModuleType) -> None:
    first = bars("Hours & days", "One bar.", [Bar("a", 1.0, 2.0, "two")], unit="h")
    second = bars("Money", "Another.", [Bar("b", 3.0, 4.0, "four", strong=True)], unit="$")
    written = page("Two charts", join(first, second))
    chart = tool.chart_of(written, "money")
    root = ElementTree.fromstring(chart)
    assert "b" in {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert "var(" not in chart
    assert "#22201c" in chart
    assert "#faf8f3" in chart
    assert tool.chart_of(written, "hours")
    with pytest.raises(UserError, match="no chart called 'speed'; it has Hours & days, Money"):
        tool.chart_of(written, "speed")
