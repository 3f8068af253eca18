"""Take one chart out of a page that ClearSeek wrote, as a picture that stands alone (for docs and slides):

    python tools/chart_of.py runs/mine/report.html "Accuracy on dev" docs/images/mine.svg

A chart is named by its title, or the beginning of it; a name that none has prints those there are. In a page the
colours are variables that follow light and dark; in the picture they are the light ones, on paper.
"""

from __future__ import annotations

import argparse
import html
import re
from pathlib import Path

from clearseek.errors import UserError
from clearseek.hub.files import write_aside

_CHART = re.compile(r"<svg\b(?P<head>[^>]*)>(?P<body>.*?)</svg>", re.DOTALL)
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
_COLOUR = re.compile(r"(--[a-z0-9-]+): light-dark\((#[0-9a-f]{3,8}),")
_VARIABLE = re.compile(r"var\((--[a-z0-9-]+)(?:,[^()]*)?\)")


def chart_of(page: str, title: str) -> str:
    """The first chart of a page whose title begins so. Raises UserError where there is none."""
    colours = dict(_COLOUR.findall(page)) | {"--sans": "system-ui,sans-serif"}
    titles = []
    for found in _CHART.finditer(page):
        named = _TITLE.search(found["body"])
        titles.append(html.unescape(named[1]) if named else "")
        if named and titles[-1].lower().startswith(title.lower()):
            body = _VARIABLE.sub(lambda use: colours.get(use[1], "#222"), found["body"])
            paper = f'<rect width="100%" height="100%" fill="{colours.get("--paper", "#fff")}"/>'
            head = _VARIABLE.sub(lambda use: colours.get(use[1], "#222"), found["head"])
            return f"<svg{head}>{body.replace('</desc>', '</desc>' + paper, 1)}</svg>\n"
    raise UserError(f"The page has no chart called {title!r}; it has {', '.join(filter(None, titles)) or 'none'}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("title")
    parser.add_argument("picture", type=Path)
    asked = parser.parse_args()
    try:
        chart = chart_of(asked.page.read_text("utf-8"), asked.title)
    except (UserError, OSError) as error:
        raise SystemExit(f"{error}") from None
    write_aside(asked.picture, chart.encode())


if __name__ == "__main__":
    main()
