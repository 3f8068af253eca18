"""Thinking, live: an engine that ponders for ten seconds, so that there is time to look."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing

import pytest
from driving import Pages, Server, ask
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def wait_until_kept(server: Server, conversation: str, thinking: str) -> None:
    """The store is written now and then, on a busy machine seldom; and a server that is asked tells what it has yet."""
    asked = "SELECT thinking FROM messages WHERE conversation_id = ? AND thinking IS NOT NULL"
    with closing(sqlite3.connect(server.home / "chat.sqlite", timeout=120)) as store:
        for _ in range(300):
            if any(kept.startswith(thinking) for (kept,) in store.execute(asked, (conversation,))):
                return
            time.sleep(0.1)
    raise AssertionError("what was thought was not written down in time")


def answered(page: Page) -> None:
    expect(page.locator(".answer").last).to_have_attribute("data-status", "complete")


def test_thinking_is_shown_as_it_comes_and_folds_by_itself(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "[ponder] What is red?")
    expect(page.locator(".fold")).to_contain_text("Thinking…")
    expect(page.locator(".workings")).to_contain_text("Word 0 is clear.")
    expect(page.locator(".workings")).to_contain_text("Word 3 is clear.")
    answered(page)
    expect(page.locator(".fold")).to_contain_text(re.compile(r"Thought for \d+ s"))
    expect(page.locator(".workings")).to_have_count(0)


def test_the_panel_stays_open_when_the_reader_opened_it(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "[ponder] Name one colour.")
    fold = page.locator(".fold")
    expect(fold).to_contain_text("Thinking…")
    fold.click()
    expect(page.locator(".workings")).to_have_count(0)
    fold.click()
    answered(page)
    expect(page.locator(".workings")).to_be_visible()


def test_reload_in_the_middle_and_the_same_answer_goes_on(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "[ponder] Tell me a story about a lighthouse.")
    page.wait_for_url(re.compile(r"/c/\w+$"))
    conversation = page.url.rsplit("/", 1)[1]
    expect(page.locator(".workings")).to_contain_text(re.compile(r"\w+ \w+ \w+ \w+"))
    before = echo.last_message(conversation)
    assert before["status"] == "generating"

    page.reload()
    other = new_page(page.url)  # and a second window, which comes late
    after = echo.last_message(conversation)
    assert after["generation_id"] in (before["generation_id"], None)  # none when it is over by now
    expect(page.locator(".answer")).to_have_attribute("data-id", before["id"])
    end = echo.wait_for_end(conversation)
    answered(page)
    answered(other)

    assert end["id"] == before["id"]
    assert end["status"] == "complete"
    assert end["thinking"].startswith(before["thinking"])
    squeezed = re.sub(r"\W+", "", end["content"])
    for one in (page, other):
        assert re.sub(r"\W+", "", one.locator(".answer .prose").last.inner_text()) == squeezed
    other.locator(".fold").click()
    assert re.sub(r"\W+", "", other.locator(".workings").inner_text()) == re.sub(r"\W+", "", end["thinking"])


def test_killed_in_the_middle_it_reads_interrupted(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "[ponder] Tell me a story about a mountain.")
    page.wait_for_url(re.compile(r"/c/\w+$"))
    conversation = page.url.rsplit("/", 1)[1]
    expect(page.locator(".workings")).to_contain_text(re.compile(r"\w+ \w+ \w+ \w+"))
    seen = page.locator(".workings").inner_text()[:20]
    wait_until_kept(echo, conversation, seen)
    port = echo.port
    echo.stop(9)
    expect(page.locator(".lost")).to_contain_text("The server does not answer")
    echo.start(port)
    expect(page.locator(".lost")).to_have_count(0)
    expect(page.locator(".answer")).to_have_attribute("data-status", "interrupted")
    expect(page.locator(".receipt")).to_contain_text("interrupted")
    expect(page.get_by_role("button", name="Continue")).to_be_visible()
    page.locator(".fold").click()
    assert page.locator(".workings").inner_text().startswith(seen)
    assert echo.last_message(conversation)["status"] == "interrupted"
