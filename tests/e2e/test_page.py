"""The page itself, with an engine that says back what it is asked: fast, and every byte is the test's own."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from driving import Pages, Server, ask
from echo_engine import EchoEngine
from playwright.sync_api import Page, expect

from clearseek.server import keys

pytestmark = pytest.mark.browser

CORPUS: list[str] = json.loads((Path(__file__).parents[2] / "web/test/xss.json").read_text("utf-8"))


def answered(page: Page) -> None:
    expect(page.locator(".answer").last).to_have_attribute("data-status", "complete")


def imported(server: Server, title: str, turns: list[tuple[str, str]]) -> str:
    """The id of a new conversation with these questions and answers."""
    messages: list[dict[str, Any]] = []
    for index, (question, answer) in enumerate(turns):
        above = messages[-1]["id"] if messages else None
        messages.append({"id": f"q{index}", "parent_id": above, "role": "user", "content": question})
        messages.append(
            {"id": f"a{index}", "parent_id": f"q{index}", "role": "assistant", "content": answer, "thinking": answer}
        )
    body = {"format": "clearseek-conversation", "version": 1, "title": title, "messages": messages}
    made: str = server.post("/api/conversations/import", body)["id"]
    return made


def test_output_is_code_and_none_of_it_runs(new_page: Pages, echo: Server) -> None:
    turns = [(attack.replace("\0", ""), attack.replace("\0", "")) for attack in CORPUS]
    conversation = imported(echo, "<img src=x onerror=window.__pwned=1>", turns)
    page = new_page(f"{echo.url}/c/{conversation}")
    expect(page.locator(".answer")).to_have_count(len(CORPUS))
    # Every answer is drawn when it comes near the window, and every thought when it is opened.
    for answer in page.locator(".answer").all():
        answer.scroll_into_view_if_needed()
        answer.locator(".fold").click()
    expect(page.locator(".prose.plain")).to_have_count(0)
    expect(page.locator(".katex").first).to_be_visible()
    for link in page.locator(".prose a[href]").all():
        assert re.match(r"https?://|mailto:", link.get_attribute("href") or "")
        assert link.get_attribute("rel") == "noopener noreferrer"
    assert page.locator(".prose :is(img, script, iframe, form, input, style, object, embed, base, meta)").count() == 0
    assert page.evaluate("() => window.__pwned") is None
    # Found by the search it is text too.
    page.fill("#search", "onerror")
    expect(page.locator(".rows mark").first).to_be_visible()
    page.wait_for_timeout(300)
    assert page.evaluate("() => window.__pwned") is None
    # `new_page` checks the rest: no dialog, no request to anywhere else, no breach of the CSP.


def test_output_is_code_while_it_streams_too(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "\n\n".join(attack.replace("\0", "") for attack in CORPUS)[:9000])
    answered(page)
    assert page.evaluate("() => window.__pwned") is None


def test_the_watch_over_the_page_sees_a_breach(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    page.evaluate(
        "() => document.body.insertAdjacentHTML('beforeend',"
        " '<img src=https://evil.invalid/x.png><img src=x onerror=\"window.__pwned=1\">')"
    )
    page.wait_for_timeout(500)
    assert page.evaluate("() => window.__pwned") is None  # the CSP alone stops it
    assert any("script-src-attr" in wrong for wrong in new_page.wrong)
    assert any("img-src" in wrong for wrong in new_page.wrong)
    new_page.wrong.clear()


def test_a_link_with_a_question_fills_the_box_and_never_sends(new_page: Pages, echo: Server) -> None:
    before = len(echo.get("/api/conversations")["conversations"])
    page = new_page(f"{echo.url}/?q=delete%20everything%0Aplease&send=1&autosubmit=true")
    expect(page.locator("#question")).to_have_value("delete everything\nplease")
    page.wait_for_timeout(1000)
    assert len(echo.get("/api/conversations")["conversations"]) == before
    assert "q=" not in page.url  # a reload does not fill it again
    page.keyboard.press("Enter")
    answered(page)
    expect(page.locator(".answer .prose")).to_contain_text("delete everything")


def test_math_is_typeset_and_money_is_not(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, r"It costs $100 today, $115 tomorrow. But \(x^2\), \[ y^2 \] and $$z^2$$ are math; `\(code\)` is not.")
    answered(page)
    expect(page.locator(".answer .katex")).to_have_count(3)
    expect(page.locator(".answer .prose")).to_contain_text("It costs $100 today, $115 tomorrow.")
    expect(page.locator(".answer .prose code")).to_have_text(r"\(code\)")
    height = page.locator(".katex-display").first.bounding_box()
    assert height is not None
    assert height["height"] > 10  # its style sheet and fonts came, from here
    expect(page.locator("html")).to_have_js_property("lang", "en")


def test_code_is_coloured_and_copied(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    code = "def f(x):\n    return x < 1\n"
    answer = f"Here:\n\n```python\n{code}```\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    ask(page, answer)
    answered(page)
    expect(page.locator(".answer .hljs-keyword").first).to_have_text("def")
    expect(page.locator(".answer td")).to_have_count(2)
    page.locator("figure.code").get_by_role("button", name="Copy").click()
    expect(page.locator("figure.code").get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == code
    page.locator(".answer .under").get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator(".answer .under").get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == answer


def test_a_long_paste_becomes_an_attachment(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    limit = echo.get("/api/state")["paste_limit"]
    for length in (limit, limit + 1):
        page.locator("#question").focus()
        page.evaluate("(text) => navigator.clipboard.writeText(text)", "x" * length)
        page.keyboard.press("Control+v")
    expect(page.locator("#question")).to_have_value("x" * limit)
    chip = page.locator(".composer .chip")
    expect(chip).to_contain_text(f"pasted-1.txt {limit + 1:,} characters")
    chip.click()
    expect(page.locator("dialog.viewer pre")).to_have_text("x" * (limit + 1))
    page.locator("dialog.viewer").press("Escape")
    expect(page.locator("dialog.viewer")).to_have_count(0)
    page.locator("#question").focus()
    page.evaluate("(text) => navigator.clipboard.writeText(text)", "y" * (limit + 5))
    page.keyboard.press("Control+v")
    expect(chip).to_have_count(2)
    page.get_by_role("button", name="Remove pasted-1.txt").click()
    expect(chip).to_have_count(1)

    page.fill("#question", "What is in it?")
    page.keyboard.press("Enter")
    answered(page)
    expect(page.locator(".question .chip")).to_contain_text("pasted-2.txt")
    expect(page.locator(".composer .chip")).to_have_count(0)
    expect(page.locator(".answer .prose")).to_contain_text("yyyyyyyyyy")


def test_a_chat_is_saved_as_markdown(new_page: Pages, echo: Server, tmp_path: Path) -> None:
    page = new_page(f"{echo.url}/c/{imported(echo, 'To be kept', [('How many?', 'Exactly **seven**.')])}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    assert download.value.suggested_filename.endswith(".md")
    download.value.save_as(tmp_path / "chat.md")
    text = (tmp_path / "chat.md").read_text("utf-8")
    assert "How many?" in text
    assert "Exactly **seven**." in text


def test_a_tab_left_behind_catches_up(new_page: Pages, echo: Server) -> None:
    conversation = imported(echo, "Left behind", [("one", "1")])
    page = new_page(f"{echo.url}/c/{conversation}")
    expect(page.locator(".answer")).to_have_count(1)
    hide = "(hidden) => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
    hide += " document.dispatchEvent(new Event('visibilitychange')) }"
    page.evaluate(hide, True)
    page.wait_for_timeout(6_000)  # hidden tabs stop listening
    current = echo.last_message(conversation)["id"]
    echo.post(f"/api/conversations/{conversation}/messages", {"content": "from elsewhere", "parent_id": current})
    echo.wait_for_end(conversation)
    expect(page.locator(".answer")).to_have_count(1)
    page.evaluate(hide, False)
    expect(page.locator(".answer .prose").last).to_have_text("from elsewhere")
    current = echo.last_message(conversation)["id"]
    echo.post(f"/api/conversations/{conversation}/messages", {"content": "it listens again", "parent_id": current})
    expect(page.locator(".answer .prose").last).to_have_text("it listens again")


def test_a_question_that_is_refused_stays_in_the_box(new_page: Pages, echo: Server) -> None:
    before = echo.get("/api/conversations")["conversations"]
    page = new_page(echo.url)
    page.locator("#question").evaluate(
        "(box) => { box.value = 'x'.repeat(1000001); box.dispatchEvent(new Event('input', { bubbles: true })) }"
    )
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_be_visible()
    assert page.locator("#question").evaluate("(box) => box.value.length") == 1_000_001
    expect(page.locator("h1", has_text="What would you like to know?")).to_be_visible()
    page.wait_for_timeout(500)
    assert echo.get("/api/conversations")["conversations"] == before  # and no empty chat is left behind


def test_two_windows_hear_one_answer(new_page: Pages, echo: Server) -> None:
    first = new_page(echo.url)
    ask(first, "[slow] one two three four five six seven eight nine ten")
    first.wait_for_url("**/c/*")
    second = new_page(first.url)
    expect(first.locator(".answer .prose")).to_contain_text("one two")
    first.reload()
    for page in (first, second):
        answered(page)
        expect(page.locator(".answer .prose")).to_have_text("one two three four five six seven eight nine ten")
    # Asked in one, it appears in the other, in the list and in the open chat.
    ask(second, "and eleven")
    expect(first.locator(".asked").last).to_have_text("and eleven")
    expect(first.locator(".answer .prose").last).to_have_text("and eleven")
    ask(second, "and twelve")
    answered(second)
    expect(first.locator(".answer .prose").last).to_have_text("and twelve")


def test_the_engine_dies_in_the_middle(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "[die] this is a sentence that will not be said to its end")
    trouble = page.locator(".trouble")
    expect(trouble).to_be_visible()
    expect(trouble.get_by_role("button", name="Try again")).to_be_visible()
    expect(page.locator(".answer .prose").last).to_contain_text("this is a sen")  # what had come is kept
    expect(trouble).to_contain_text("What had come is kept.")
    trouble.get_by_role("button", name="Try again").click()
    expect(page.locator(".answer .branches")).to_contain_text("2/2")


def test_cut_at_the_length_limit_it_says_so_and_can_go_on(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "[full] half of it")
    answered(page)
    expect(page.locator(".receipt")).to_contain_text("cut at the length limit")
    expect(page.get_by_role("button", name="Continue")).to_be_visible()


def test_the_server_goes_away_and_comes_back(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "before")
    answered(page)
    port = echo.port
    echo.stop(signal.SIGKILL)
    expect(page.locator(".lost")).to_contain_text("The server does not answer")
    page.fill("#question", "while it is away")
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_contain_text("does not answer")
    expect(page.locator("#question")).to_have_value("while it is away")  # nothing typed is lost
    echo.start(port)
    page.get_by_role("button", name="Try now").click()
    expect(page.locator(".lost")).to_have_count(0)
    page.locator("#question").focus()
    page.keyboard.press("Enter")
    answered(page)
    expect(page.locator(".answer .prose").last).to_have_text("while it is away")


def test_a_phone(new_page: Pages, echo: Server) -> None:
    imported(echo, "A chat from before", [("question", "answer")])
    page = new_page(echo.url, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    expect(page.locator("#sidebar")).not_to_be_in_viewport()
    ask(page, "```\n" + "a very long line of code " * 10 + "\n```\n\n" + "w" * 300)
    answered(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Chats").tap()
    expect(page.locator("#sidebar")).to_be_in_viewport()
    page.locator(".row a", has_text="A chat from before").first.tap()
    expect(page.locator("#sidebar")).not_to_be_in_viewport()
    expect(page.locator(".asked")).to_have_text("question")


def test_dark_and_light(new_page: Pages, echo: Server) -> None:
    def paper(page: Page) -> int:
        colour: str = page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor")
        return sum(int(part) for part in re.findall(r"\d+", colour)[:3])

    assert paper(new_page(echo.url, color_scheme="light")) > 700
    page = new_page(echo.url, color_scheme="dark")
    assert paper(page) < 120
    page.get_by_role("button", name="Light theme").click()
    assert paper(page) > 700
    page.reload()
    assert paper(page) > 700
    page.get_by_role("button", name="Dark theme").click()
    assert paper(page) < 120


def test_with_the_keyboard_alone(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("first line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second line")
    expect(page.locator("#question")).to_have_value("first line\nsecond line")
    page.keyboard.press("Enter")
    answered(page)
    expect(page.locator(".asked")).to_have_text("first line\nsecond line")

    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("() => ((a) => a.getAttribute('aria-label') || a.textContent)(document.activeElement)")
        )
        ring = page.evaluate("() => document.activeElement.matches(':focus-visible, body')")
        assert ring
    for name in ("New chat", "DeepThink", "Copy", "Edit", "Regenerate", "Model: echo"):
        assert any(name in label for label in reached), f"{name} cannot be reached by Tab: {reached}"

    page.keyboard.press("Control+k")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("second")
    expect(page.locator(".rows h2")).to_have_text("Found")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+Shift+O")
    expect(page.locator("#question")).to_be_focused()
    assert page.url.rstrip("/") == echo.url
    page.keyboard.type("[slow] " + "stop me " * 20)
    page.keyboard.press("Enter")
    expect(page.locator(".answer .prose")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".answer")).to_have_attribute("data-status", "stopped")


def test_an_input_method_may_use_enter(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    page.locator("#question").fill("にほん")
    page.locator("#question").evaluate(
        "(box) => box.dispatchEvent(new KeyboardEvent('keydown',"
        " {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))"
    )
    page.wait_for_timeout(300)
    expect(page.locator("#question")).to_have_value("にほん")


def test_back_and_forward(new_page: Pages, echo: Server) -> None:
    one = imported(echo, "Chat one", [("first", "1")])
    imported(echo, "Chat two", [("second", "2")])
    page = new_page(f"{echo.url}/c/{one}")
    expect(page.locator(".asked")).to_have_text("first")
    page.locator(".row a", has_text="Chat two").first.click()
    expect(page.locator(".asked")).to_have_text("second")
    page.go_back()
    expect(page.locator(".asked")).to_have_text("first")
    page.go_forward()
    expect(page.locator(".asked")).to_have_text("second")
    page.goto(f"{echo.url}/c/no-such-chat")
    expect(page.locator(".notice")).to_contain_text("no such chat")


def test_a_long_conversation_follows_its_end_only_for_a_reader_who_is_there(new_page: Pages, echo: Server) -> None:
    text = "A paragraph of some length. " * 12
    turns = [(f"Question {index}", f"{text}\n\n- one\n- two\n\n`{index}`") for index in range(100)]
    page = new_page(f"{echo.url}/c/{imported(echo, 'Two hundred messages', turns)}")
    expect(page.locator(".answer")).to_have_count(100)
    thread = page.locator(".thread")
    left = "(box) => box.scrollHeight - box.scrollTop - box.clientHeight"
    page.wait_for_timeout(500)
    assert thread.evaluate(left) < 5
    ask(page, "[slow] " + "line\n\n" * 14)
    expect(page.locator(".answer .prose").last).to_contain_text("line\nline")
    assert thread.evaluate(left) < 60
    page.mouse.move(700, 400)
    page.mouse.wheel(0, -3000)
    page.wait_for_timeout(300)
    before = thread.evaluate("(box) => box.scrollTop")
    answered(page)
    assert abs(thread.evaluate("(box) => box.scrollTop") - before) < 400
    page.get_by_role("button", name="To the end").click()
    page.wait_for_timeout(300)
    assert thread.evaluate(left) < 5


def test_a_server_with_keys_asks_for_one(new_page: Pages, page_is_built: None, tmp_path: Path) -> None:
    key = keys.create("reader", tmp_path / "keys" / "api-keys.json")
    with EchoEngine() as engine:
        server = Server(tmp_path, ("--engine-url", engine.url, "--model", "echo"))
        server.start()
        try:
            page = new_page(server.url)
            dialog = page.locator("dialog.ask-key")
            expect(dialog).to_contain_text("This server asks for a key.")
            page.get_by_role("textbox", name="Key").fill("cs-wrong")
            page.keyboard.press("Enter")
            expect(dialog).to_contain_text("did not accept the key")
            page.get_by_role("textbox", name="Key").fill(key)
            page.keyboard.press("Enter")
            expect(dialog).to_have_count(0)
            ask(page, "with a key")
            answered(page)
            page.reload()
            expect(page.locator(".answer .prose")).to_have_text("with a key")
        finally:
            server.stop()
