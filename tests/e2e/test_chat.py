"""A person and the real model, through a real browser."""

from __future__ import annotations

import re

import pytest
from driving import Pages, Server, ask
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(400)]

LONG_WAIT = 600_000


def open_first_screen(new_page: Pages, server: Server, effort: str = "low") -> Page:
    page = new_page(server.url)
    expect(page.locator(".starters").first).to_be_visible()
    page.get_by_role("radio", name=effort).check(force=True)
    return page


def conversation_in(page: Page) -> str:
    page.wait_for_url(re.compile(r"/c/\w+$"))
    return page.url.rsplit("/", 1)[1]


def answer_ends(page: Page) -> None:
    expect(page.locator(".answer").last).to_have_attribute(
        "data-status", re.compile("complete|stopped"), timeout=LONG_WAIT
    )


def test_ask_see_thinking_see_the_answer_and_its_receipt(new_page: Pages, own_server: Server) -> None:
    """The way from the answer to what made it: the answer names its weights, and the weights their receipt."""
    page = open_first_screen(new_page, own_server)
    page.locator(".starters button").first.click()
    expect(page.locator(".question .asked")).not_to_be_empty()
    question = page.locator(".question .asked").inner_text()
    answer_ends(page)  # how long a real model thinks is its own affair; test_thinking_live.py watches it live

    expect(page.locator(".fold")).to_contain_text(re.compile(r"Thought for (\d+ (s|min)|under a second)"))
    expect(page.locator(".workings")).to_have_count(0)  # folded by itself
    message = own_server.last_message(conversation_in(page))
    assert message["status"] == "complete"
    words = message["content"].split()
    expect(page.locator(".answer .prose")).to_contain_text(words[0])
    expect(page.locator(".answer .prose")).to_contain_text(words[-1].strip("*_`."))

    receipt = page.locator(".receipt summary")
    expect(receipt).to_contain_text(f"{message['usage']['completion_tokens']} tokens")
    receipt.click()
    expect(page.locator(".receipt dl")).to_contain_text("tokens/s")
    expect(page.locator(".receipt dl")).to_contain_text("Reused from the cache")
    expect(page.locator(".receipt dl")).to_contain_text(message["model_digest"][:16])

    page.locator(".receipt").get_by_role("button", name="clearseek-r1-135m").click()
    proof = page.locator("dialog.proof")
    expect(proof).to_contain_text("The receipt is in order")
    expect(proof).to_contain_text("smollm2-135m-instruct")  # what it was trained from
    page.keyboard.press("Escape")
    expect(proof).to_have_count(0)

    page.locator(".fold").click()
    thought = message["thinking"].split()
    expect(page.locator(".workings")).to_contain_text(thought[0])
    expect(page.locator(".row[data-current]")).to_contain_text(question[:20])
    expect(page).to_have_title(re.compile(re.escape(question[:20])))


def test_escape_stops_and_continue_goes_on(new_page: Pages, real_server: Server) -> None:
    page = open_first_screen(new_page, real_server)
    page.get_by_role("switch", name="DeepThink").click()
    ask(page, "Write a very long story about a dragon, a castle and a king, with many chapters.")
    conversation = conversation_in(page)
    expect(page.locator(".answer .prose")).to_contain_text(re.compile(r"\w+\W+\w+\W+\w+"), timeout=LONG_WAIT)
    expect(page.locator(".pace")).to_contain_text(re.compile(r"\d tokens/s"), timeout=LONG_WAIT)
    page.keyboard.press("Escape")
    expect(page.locator(".answer")).to_have_attribute("data-status", "stopped")
    expect(page.locator(".pace")).to_have_count(0)
    expect(page.locator(".receipt")).to_contain_text("stopped")
    stopped = real_server.last_message(conversation)
    assert stopped["thinking"] is None  # off means off

    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".answer")).to_have_attribute("data-status", "generating")
    expect(page.locator(".answer .prose")).to_have_text(
        re.compile(f".{{{len(stopped['content']) + 20},}}", re.DOTALL), timeout=LONG_WAIT
    )
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".answer")).to_have_attribute("data-status", re.compile("stopped|complete"))
    more = real_server.last_message(conversation)
    assert more["id"] == stopped["id"]
    assert more["content"].startswith(stopped["content"])


def test_edit_regenerate_search_and_delete(new_page: Pages, real_server: Server) -> None:
    page = open_first_screen(new_page, real_server)
    page.get_by_role("switch", name="DeepThink").click()
    ask(page, "Say the word zeppelin.")
    conversation = conversation_in(page)
    answer_ends(page)

    page.locator(".question").hover()
    page.locator(".question").get_by_role("button", name="Edit").click()
    page.get_by_label("Edit the question").fill("Say the word marmalade.")
    page.keyboard.press("Enter")
    expect(page.locator(".asked")).to_have_text("Say the word marmalade.")
    expect(page.locator(".question .branches")).to_contain_text("2/2")
    answer_ends(page)
    page.get_by_role("button", name="Previous version").click()
    expect(page.locator(".asked")).to_have_text("Say the word zeppelin.")
    page.reload()
    expect(page.locator(".asked")).to_have_text("Say the word zeppelin.")  # the branch is kept
    expect(page.locator(".question .branches")).to_contain_text("1/2")

    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".answer .branches")).to_contain_text("2/2", timeout=LONG_WAIT)
    answer_ends(page)
    assert len(real_server.get(f"/api/conversations/{conversation}")["messages"]) == 5

    page.keyboard.press("Control+k")
    page.keyboard.type("marmal")
    expect(page.locator(".rows h2")).to_have_text("Found")
    expect(page.locator(".rows mark").first).to_have_text(re.compile("marmalade", re.I))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/c/{conversation}")
    page.locator("#search").fill("")

    row = page.locator(".row[data-current]")
    row.hover()
    row.get_by_role("button", name="Rename").click()
    page.get_by_label("New title").fill("Two words")
    page.keyboard.press("Enter")
    expect(row).to_contain_text("Two words")
    row.hover()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("Two words")).to_have_count(0)
    expect(page.locator("h1", has_text="What would you like to know?")).to_be_visible()
    assert all(row["id"] != conversation for row in real_server.get("/api/conversations")["conversations"])


def test_a_chat_too_long_for_the_model_says_so_and_offers_two_ways(new_page: Pages, cramped_server: Server) -> None:
    page = new_page(cramped_server.url)
    page.get_by_role("switch", name="DeepThink").click()
    ask(page, "Say yes. " + "The quick brown fox jumps over the lazy dog. " * 26)
    answer_ends(page)
    expect(page.locator(".gauge")).to_contain_text(re.compile(r"\d+ of 512 tokens|\d+ tokens? left for this chat"))
    ask(page, "Say no. " + "Pack my box with five dozen liquor jugs. " * 25)
    trouble = page.locator(".trouble")
    expect(trouble).to_contain_text("This chat is too long for the model.", timeout=LONG_WAIT)
    expect(trouble).to_contain_text(re.compile(r"It is \d+ tokens? too long\. Nothing was left out\."))

    trouble.get_by_role("button", name="Leave out the oldest turns").click()
    expect(page.locator(".answer").last).to_have_attribute("data-status", "complete", timeout=LONG_WAIT)
    expect(page.locator(".receipt").last).to_contain_text("left out the 1 oldest turn")

    page.locator(".answer").last.get_by_role("button", name="Previous version").click()
    page.locator(".trouble").get_by_role("button", name="Start a new chat").click()
    expect(page.locator("#question")).to_have_value(re.compile("^Say no"))
    expect(page.locator(".answer")).to_have_count(0)
