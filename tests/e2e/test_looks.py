"""What the page looks like where only a browser can say: on paper, in forced colours, on a phone, from the right."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import pytest
from driving import Pages, Server, ask
from PIL import Image
from playwright.sync_api import Page, expect
from pypdf import PdfReader
from test_page import answered, imported

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
RICH = """# Report

Here is a dialogue with a note[^1] and [docs][d]:

[Alice]: Hello Bob, how are you?

- [x] done **thing**
- [ ] to do

```python
# a comment
def f(x):
    return "string" * 3
```

| a | b |
|---|--:|
| 1 | 2 |

> quoted

\\[ a_1 + a_2 + a_3 + a_4 + a_5 + a_6 + a_7 + a_8 + a_9 + a_{10} + a_{11} + a_{12} + a_{13} + a_{14} + a_{15} \\]

[d]: https://example.com/docs
[^1]: The **note**.
"""


@pytest.fixture(scope="module")
def rich(echo: Server) -> str:
    return f"{echo.url}/c/{imported(echo, 'Rich', [('Show me everything', RICH)])}"


def ready(page: Page) -> None:
    """Math and code have arrived, and nothing moves any more."""
    expect(page.locator(".katex").first).to_be_visible()
    expect(page.locator("[class^=hljs]").first).to_be_visible()


# --- what a text says is written once -------------------------------------------------------------------------------


def test_a_dialogue_a_log_and_a_footnote_are_written_once_while_they_come_and_after(
    new_page: Pages, echo: Server
) -> None:
    page = new_page(echo.url)
    said = (
        "Here is a dialogue:\n\n[Alice]: Hello Bob, how are you?\n\n[Bob]: I am fine, thanks[^1].\n\n"
        "```text\n[INFO]: server started ok\n```\n\n[^1]: The note.\n\nThe end."
    )
    page.evaluate(
        """() => {
          window.most = {};
          new MutationObserver(() => {
            const text = [...document.querySelectorAll('.answer .prose')].at(-1)?.textContent ?? '';
            for (const words of ['Hello Bob', 'I am fine', 'server started', 'The note'])
              window.most[words] = Math.max(window.most[words] ?? 0, text.split(words).length - 1);
          }).observe(document.body, { childList: true, subtree: true, characterData: true });
        }"""
    )
    ask(page, said)
    answered(page)
    prose = page.locator(".answer .prose").last
    for words in ("Hello Bob", "I am fine", "server started", "The note"):
        assert prose.inner_text().count(words) == 1
    assert set(page.evaluate("() => Object.values(window.most)")) == {1}
    # The footnote and its mark lead to each other.
    prose.locator(".note-ref a").click()
    expect(prose.locator(".notes li:target")).to_have_count(1)
    prose.locator(".note-back").click()
    expect(prose.locator(".note-ref a:target")).to_have_count(1)
    expect(page.locator(".asked")).to_be_attached()


# --- paper -----------------------------------------------------------------------------------------------------------


def pages_of(page: Page) -> list[str]:
    return [sheet.extract_text() for sheet in PdfReader(io.BytesIO(page.pdf(format="A4"))).pages]


def test_a_long_chat_is_printed_whole_and_drawn(new_page: Pages, echo: Server) -> None:
    text = "A paragraph of some length. " * 8
    turns = [(f"Question number {n}?", f"{text}\n\n**bold {n}** and \\(x^{{{n}}}\\)\n\n- item") for n in range(60)]
    page = new_page(f"{echo.url}/c/{imported(echo, 'A printed chat', turns)}")
    expect(page.locator(".answer")).to_have_count(60)
    expect(page.locator(".katex").first).to_be_visible()
    assert page.locator(".prose.plain").count() > 0
    sheets = pages_of(page)
    paper = "\n".join(sheets)
    assert len(sheets) > 10
    for n in range(60):
        assert len(re.findall(rf"Question number {n}\?", paper)) == 1
        assert f"bold {n}" in paper
    assert "**" not in paper
    assert "\\(" not in paper
    assert "A printed chat" in sheets[0]
    for screen in ("Ask a question", "DeepThink", "Copy", "Regenerate", "New chat", "Search", "Save"):
        assert screen not in paper, f"{screen} is printed"
    # The screen is as it was.
    assert page.locator(".prose.plain").count() > 0
    expect(page.locator("#question")).to_be_visible()


def test_books_audit_and_a_proof_are_printed_whole(new_page: Pages, own_server: Server) -> None:
    page = new_page(own_server.url, color_scheme="dark")
    ask(page, "What is 2 + 3?")
    answered(page)
    page.goto(f"{own_server.url}/books")
    expect(page.locator(".chart canvas")).to_be_visible()
    paper = "\n".join(pages_of(page))
    for words in ("Books", "By day", "What this machine costs", "intact", "What the marks mean"):
        assert words in paper
    assert "New chat" not in paper
    page.goto(f"{own_server.url}/audit/deepseek-v3-pretraining")
    expect(page.locator(".scale")).to_be_visible()
    sheets = pages_of(page)
    assert len(sheets) > 1
    for heading in page.locator(".leaf h2").all():
        assert heading.inner_text() in "\n".join(sheets)
    page.goto(own_server.url)
    page.locator(".row a").first.click()
    page.locator(".receipt summary").click()
    page.locator(".receipt button.act").click()
    expect(page.locator(".proof table").first).to_be_visible()
    paper = "\n".join(pages_of(page))
    assert "What a receipt cannot prove" in paper
    assert "What each stage took" in paper
    assert "What is 2 + 3?" not in paper


# --- forced colours --------------------------------------------------------------------------------------------------


def picture(page: Page, selector: str) -> list[tuple[int, int, int]]:
    image = Image.open(io.BytesIO(page.locator(selector).first.screenshot())).convert("RGB")
    width, height = image.size
    return [image.getpixel((x, y)) for y in range(height) for x in range(width)]  # type: ignore[misc]


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    def light(colour: tuple[int, int, int]) -> float:
        parts = [value / 255 for value in colour]
        red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def strongest(page: Page, selector: str) -> float:
    """The contrast between what is seen most in a part of the page and what differs from it most."""
    pixels = picture(page, selector)
    ground = max(set(pixels), key=pixels.count)
    return max(contrast(ground, pixel) for pixel in set(pixels))


def differs(page: Page, one: str, other: str) -> bool:
    """Whether two things of one kind, one chosen and one not, have different grounds or edges."""
    style = (
        "(at) => { const s = getComputedStyle(at); return [s.backgroundColor, s.borderBottomColor, s.color].join() }"
    )
    return page.locator(one).first.evaluate(style) != page.locator(other).first.evaluate(style)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_forced_colours_every_state_can_be_seen(new_page: Pages, echo: Server, rich: str, scheme: str) -> None:
    page = new_page(rich, forced_colors="active", color_scheme=scheme, reduced_motion="reduce")
    ready(page)
    switch = page.get_by_role("switch", name="DeepThink")
    on = picture(page, ".track")
    switch.click()
    page.locator("#question").focus()
    off = picture(page, ".track")
    assert on != off
    # The knob is seen, not only the rim: the middle line of the pill has two colours in both states.
    for pixels in (on, off):
        width = int(len(pixels) // 15) or 1
        middle = pixels[len(pixels) // width // 2 * width :][:width]
        assert len(set(middle[3:-3])) > 1
    switch.click()
    assert differs(page, ".efforts input:checked + span", ".efforts input:not(:checked) + span")
    for seen in (".go", ".row[data-current]", ".track", "figure.code"):
        assert strongest(page, seen) >= 3, f"{seen} cannot be seen"
    assert page.locator(".row[data-current]").evaluate("(row) => getComputedStyle(row).outlineStyle") == "solid"
    ask(page, "once")
    answered(page)

    page.goto(f"{echo.url}/books")
    expect(page.locator(".chart canvas")).to_be_visible()
    assert differs(page, ".choice input:checked + span", ".choice input:not(:checked) + span")
    assert strongest(page, ".chart canvas") >= 3
    assert strongest(page, ".share") >= 3

    page.goto(f"{echo.url}/audit/deepseek-v3-pretraining")
    expect(page.locator(".scale")).to_be_visible()
    for seen in (".input input[type=range]", ".stand .rail", ".scale .line .rail"):
        assert strongest(page, seen) >= 3, f"{seen} cannot be seen"


# --- phones ----------------------------------------------------------------------------------------------------------

SMALL = """(least) => {
  const found = [];
  const acting = 'button, summary, select, textarea, [role=option], input:not([type=radio]), label:has(input), a[href]';
  for (const element of document.querySelectorAll(acting)) {
    const box = element.getBoundingClientRect();
    if (!element.checkVisibility({ opacityProperty: false, visibilityProperty: true }) || box.width < 2) continue;
    if (element.closest('.katex, [aria-hidden=true]')) continue;
    // Links and fields within a sentence are as high as its lines (WCAG 2.5.8 excepts them).
    if (element.matches('a') && getComputedStyle(element).display === 'inline') continue;
    if (element.matches('label') && !element.matches('.choice *, .efforts *, .pick')) continue;
    // A box is pressed by its whole line.
    if (element.matches('.pick input')) continue;
    if (box.height < least - 0.01 || box.width < least - 0.01)
      found.push(`${element.outerHTML.slice(0, 90)} ${box.width}x${box.height}`);
  }
  return found;
}"""


@pytest.mark.parametrize(("device", "least"), [({"viewport": {"width": 360, "height": 640}}, 24), (PHONE, 44)])
def test_what_is_pressed_is_large_enough(
    new_page: Pages, echo: Server, rich: str, device: dict[str, Any], least: int
) -> None:
    imported(echo, "A chat", [("Is rayleigh a person?", "He was.")])
    imported(echo, "Another", [("And rayleigh scattering?", "It is.")])
    page = new_page(echo.url, **device)
    expect(page.locator(".first")).to_be_visible()
    expect(page.locator(".row").nth(1)).to_be_attached()
    assert page.evaluate(SMALL, least) == []
    page.goto(rich)
    ready(page)
    page.locator(".fold").first.click()
    assert page.evaluate(SMALL, least) == []
    page.get_by_role("button", name="Chats", exact=True).click()
    expect(page.locator(".sidebar[data-open]")).to_be_visible()
    assert page.evaluate(SMALL, least) == []
    page.get_by_role("button", name="Delete several").click()
    expect(page.locator(".picking")).to_be_visible()
    assert page.evaluate(SMALL, least) == []
    page.get_by_role("button", name="Done").click()
    page.fill("#search", "rayleigh")
    expect(page.locator(".rows mark").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(".found-bar")).to_be_visible()
    assert page.evaluate(SMALL, least) == []
    page.goto(f"{echo.url}/books")
    expect(page.locator("#marks")).to_be_visible()
    assert page.evaluate(SMALL, least) == []
    page.goto(f"{echo.url}/audit/deepseek-v3-pretraining")
    expect(page.locator(".scale")).to_be_visible()
    assert page.evaluate(SMALL, least) == []


@pytest.mark.parametrize(
    "device",
    [
        {"viewport": {"width": 360, "height": 640}},
        {"viewport": {"width": 320, "height": 480}},
        {"viewport": {"width": 640, "height": 400}},  # 1280 x 800 at 200%
        PHONE,
    ],
)
def test_the_first_screen_begins_at_its_beginning(new_page: Pages, echo: Server, device: dict[str, Any]) -> None:
    page = new_page(echo.url, **device)
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_in_viewport(ratio=1)
    expect(page.locator(".starters").last).to_be_attached()
    assert page.locator(".thread").evaluate("(box) => box.scrollTop") == 0
    page.set_viewport_size({"width": device["viewport"]["width"], "height": device["viewport"]["height"] - 60})
    assert page.locator(".thread").evaluate("(box) => box.scrollTop") == 0


def test_a_phone_can_save_a_chat(new_page: Pages, rich: str) -> None:
    page = new_page(rich, **PHONE)
    save = page.get_by_role("button", name="Save")
    expect(save).to_be_in_viewport(ratio=1)
    with page.expect_download() as saved:
        save.click()
    assert saved.value.suggested_filename.endswith(".md")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360


def test_the_books_axis_is_told_whole(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    for _ in range(2):
        ask(page, "word " * 2000)
        answered(page)
    page.goto(f"{echo.url}/books")
    page.get_by_role("radio", name="tokens").check(force=True)
    canvas = page.locator(".chart canvas")
    expect(canvas).to_be_visible()
    image = Image.open(io.BytesIO(canvas.screenshot())).convert("L")
    ground = image.getpixel((0, 0))
    edge = [image.getpixel((x, y)) for x in range(2) for y in range(image.height)]
    assert max(abs(int(value) - int(ground)) for value in edge) < 40, "a label touches the left edge"


# --- right to left ---------------------------------------------------------------------------------------------------


def test_arabic_and_hebrew_run_from_the_right(new_page: Pages, echo: Server) -> None:
    answer = (
        "Intro in English.\n\n# مرحبا\n\nهذا نص عربي مع English words.\n\n- البند الأول\n- البند الثاني\n\n"
        "1. ראשון\n\n   עוד\n\n> اقتباس\n\n| اسم | قيمة |\n|---|---|\n| واحد | 1 |\n\n```\nx = 1\n```\n"
    )
    page = new_page(f"{echo.url}/c/{imported(echo, 'مرحبا بك', [('ما هذا؟', answer)])}")
    expect(page.locator(".answer .prose h1")).to_be_visible()
    way = "(at) => getComputedStyle(at).direction"
    for element in ("h1", ".block:nth-child(3) p", "ul", "li", "ol li", "ol li p", "blockquote", "blockquote p", "td"):
        assert page.locator(f".answer .prose :is({element})").first.evaluate(way) == "rtl", element
    assert page.locator(".answer .prose p").first.evaluate(way) == "ltr"
    assert page.locator(".answer .prose figure.code").evaluate(way) == "ltr"
    assert page.locator(".row .title").first.evaluate(way) == "rtl"
    assert page.locator(".asked").evaluate(way) == "rtl"
    # The rule of a quote stands where its lines begin.
    edge = page.locator(".answer .prose blockquote").evaluate("(at) => getComputedStyle(at).borderRightWidth")
    assert edge == "1px"


# --- axe -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(new_page: Pages, own_server: Server, scheme: str) -> None:
    if not AXE.is_file():
        if os.environ.get("CLEARSEEK_REQUIRE_BROWSER") == "1":
            pytest.fail("axe-core is not installed: run `make page-tools`")
        pytest.skip("axe-core is not installed: run `make page-tools`")
    rich = imported(own_server, "Rich", [("Show me everything", RICH)])
    page = new_page(own_server.url, color_scheme=scheme, bypass_csp=True)

    def look(where: str) -> None:
        page.add_script_tag(path=AXE)
        found = page.evaluate("async () => (await axe.run()).violations.map((v) => [v.id, v.nodes.map((n) => n.html)])")
        assert found == [], where

    expect(page.locator(".first")).to_be_visible()
    look("the first screen")
    ask(page, "What is 2 + 3?")
    answered(page)
    page.locator(".fold").last.click()
    page.locator(".receipt summary").click()
    look("a chat with its receipt")
    page.locator(".receipt button.act").click()
    expect(page.locator(".proof table").first).to_be_visible()
    look("a proof")
    page.goto(f"{own_server.url}/c/{rich}")
    ready(page)
    look("a rich answer")
    page.goto(f"{own_server.url}/books")
    expect(page.locator(".chart canvas")).to_be_visible()
    page.locator(".same summary").click()
    look("the books")
    page.goto(f"{own_server.url}/audit")
    expect(page.locator(".claims")).to_be_visible()
    look("the audit")
    page.goto(f"{own_server.url}/audit/deepseek-v3-pretraining")
    expect(page.locator(".scale")).to_be_visible()
    look("a claim")


def test_without_javascript_one_sentence_in_the_pages_own_dress(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url, java_script_enabled=False)
    said = page.locator(".no-script")
    expect(said).to_contain_text("clearseek chat")
    assert said.evaluate("(at) => parseFloat(getComputedStyle(at).fontSize)") > 18
