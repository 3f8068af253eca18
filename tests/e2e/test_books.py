"""The quiet line and the Books page: every figure as booked, with its basis; a budget that is used up says so."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Pages, Server
from echo_engine import EchoEngine
from looking import nameless
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

ATTACK = "<img src=x onerror=window.__pwned=1>"


def ask(page: Page, question: str) -> None:
    page.fill("#question", question)
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_have_value("")


def answered(page: Page) -> None:
    expect(page.locator(".answer").last).to_have_attribute("data-status", "complete", timeout=600_000)


def booked(server: Server, answers: int) -> dict[str, Any]:
    """The books, once that many answers are in them: booking comes a moment after the answer."""
    deadline = time.monotonic() + 20
    while True:
        books: dict[str, Any] = server.get("/api/books?days=30&by=day")
        if books["total"]["answers"] >= answers or time.monotonic() > deadline:
            return books
        time.sleep(0.1)


@pytest.fixture(scope="module")
def frugal(page_is_built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may use 60 tokens a day, which is an answer or two."""
    home = tmp_path_factory.mktemp("home")
    (home / "config.toml").write_text("[budget]\ntokens_per_day = 60\n")
    with EchoEngine() as engine:
        server = Server(home, ("--engine-url", engine.url, "--model", "echo"))
        server.start()
        yield server
        server.stop()


def test_what_is_unknown_says_so_and_how_to_declare_it(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "How much?")
    answered(page)
    line = page.locator(".receipt summary")
    expect(line).to_contain_text("tokens (measured)")
    expect(line).to_contain_text("energy and money unknown (unknown)")
    assert "$" not in line.inner_text()
    line.click()
    details = page.locator(".receipt dl")
    expect(details).to_contain_text(re.compile(r"In the books\s*entry \d+"))
    message = echo.last_message(page.url.rsplit("/", 1)[1])
    expect(details).to_contain_text(message["spent"]["entry"]["hash"][:16])
    details.get_by_role("link", name="How to declare a price").click()
    expect(page.locator("#prices")).to_be_in_viewport()
    expect(page.locator(".teach")).to_contain_text("machine_usd_per_hour")


def test_the_books_add_up(new_page: Pages, echo: Server) -> None:
    before = echo.get("/api/books?days=30&by=day")["total"]["answers"]
    page = new_page(echo.url)
    for question in (f"{ATTACK} one", "two", "three"):
        ask(page, question)
        answered(page)
    chat = page.url
    books = booked(echo, before + 3)
    assert books["total"]["answers"] == before + 3
    page.get_by_role("link", name="Books", exact=True).click()
    expect(page).to_have_title("Books · ClearSeek")
    total, shown = books["total"], page.locator(".totals")
    expect(shown).to_contain_text(f"{total['answers']:,}")
    expect(shown).to_contain_text(f"{total['prompt_tokens'] + total['completion_tokens']:,}")
    expect(shown).to_contain_text("unknown")
    expect(page.locator("[data-chain=intact]")).to_have_text("intact")
    expect(page.locator(".hash")).to_have_text(echo.get("/api/books?days=30&by=day")["chain"]["head"])

    # The table under the chart has the day, and the chart is there.
    expect(page.locator(".chart canvas")).to_be_visible()
    page.get_by_text("The same as a table").click()
    expect(page.locator(".same tbody tr")).to_have_count(len(books["rows"]))
    # By chat it has the title, as text, and leads back to the chat.
    page.get_by_role("radio", name="chat").check(force=True)
    link = page.get_by_role("link", name=ATTACK)
    expect(link.first).to_be_visible()
    assert page.locator(".sheet img").count() == 0
    assert page.evaluate("() => window.__pwned") is None
    for by in ("model", "conversation", "kind"):
        rows = echo.get(f"/api/books?days=30&by={by}")["rows"]
        assert sum(row["answers"] for row in rows) == total["answers"]
    link.first.click()
    page.wait_for_url(chat)
    expect(page.locator(".asked").last).to_have_text("three")
    page.go_back()
    expect(page.locator(".sheet h1")).to_have_text("Books")
    page.get_by_role("link", name="Back to the chat").click()
    page.wait_for_url(chat)


def test_the_books_stay_true_while_something_is_spent(new_page: Pages, echo: Server) -> None:
    page = new_page(f"{echo.url}/books")
    expect(page.locator("[data-chain=intact]")).to_be_visible()
    before = echo.get("/api/books?days=30&by=day")["total"]["answers"]
    other = new_page(echo.url)
    ask(other, "from another window")
    answered(other)
    expect(page.locator(".totals dd").first).to_contain_text(f"{before + 1:,}")


def test_the_books_to_take_away(new_page: Pages, echo: Server, tmp_path: Path) -> None:
    conversation = echo.post("/api/conversations", {})["id"]
    echo.post(f"/api/conversations/{conversation}/messages", {"content": "spend a little", "parent_id": None})
    echo.wait_for_end(conversation)
    booked(echo, 1)
    page = new_page(f"{echo.url}/books")
    for name, kind in (("By day as CSV", "csv"), ("By day as JSON", "json")):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        assert download.value.suggested_filename.endswith(f".{kind}")
        download.value.save_as(tmp_path / kind)
    lines = (tmp_path / "csv").read_text("utf-8").splitlines()
    books = json.loads((tmp_path / "json").read_text("utf-8"))
    assert "prompt_tokens" in lines[0]
    assert len(lines) - 1 == len(books["rows"]) > 0


def test_on_a_phone_and_with_the_keyboard(new_page: Pages, echo: Server) -> None:
    phone = new_page(f"{echo.url}/books", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    expect(phone.locator("#marks")).to_be_visible()
    assert phone.evaluate("() => document.documentElement.scrollWidth") <= 390

    page = new_page(echo.url)
    expect(page.locator("#question")).to_be_focused()
    link = page.get_by_role("link", name="Books", exact=True)
    for _ in range(60):
        page.keyboard.press("Tab")
        if link.evaluate("(link) => link === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator(".sheet h1")).to_be_focused()
    expect(link).to_have_attribute("aria-current", "page")
    expect(page.locator("#marks")).to_be_visible()
    assert nameless(page) == []
    page.keyboard.press("Control+Shift+O")
    expect(page.locator("#question")).to_be_focused()


def test_the_look_for_names_sees_what_has_none(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    expect(page.locator("#question")).to_be_focused()
    assert nameless(page) == []
    page.evaluate(
        "() => document.querySelector('main').insertAdjacentHTML('beforeend',"
        " '<button></button><h4>x</h4><input><table><tr><th>x</th></tr></table><i id=app></i><svg></svg>')"
    )
    found = nameless(page)
    for what in ("no name: <button", "no name: <input", "skips a level", "no scope", "twice: #app", "a drawing"):
        assert any(what in one for one in found), (what, found)


def test_a_budget_that_is_used_up_says_so_where_the_answer_would_be(new_page: Pages, frugal: Server) -> None:
    page = new_page(frugal.url)
    refused = page.locator(".column > .trouble")
    # Answers until the cap is reached; then the next question is refused where its answer would be.
    for number in range(8):
        page.fill("#question", f"one two three four five six {number}")
        page.keyboard.press("Enter")
        answer = page.locator(".answer").nth(number)
        expect(answer.or_(refused).first).to_be_visible()
        if refused.count():
            break
        expect(answer).not_to_have_attribute("data-status", "generating")
    expect(refused).to_contain_text("The budget is used up.")
    expect(refused).to_contain_text("60 tokens")
    expect(refused).to_contain_text("midnight")
    expect(refused).to_contain_text("config.toml")
    expect(refused).to_be_in_viewport()
    expect(page.locator("#question")).to_have_value(f"one two three four five six {number}")  # it is not lost
    # An answer in which the cap was reached says so too.
    for trouble in page.locator(".answer .trouble").all():
        expect(trouble).to_contain_text("The budget is used up.")
        expect(trouble).not_to_contain_text("Try again")
    refused.get_by_role("link", name="See the books").click()
    meter = page.get_by_role("meter").first
    assert int(meter.get_attribute("aria-valuenow") or 0) > 50
    expect(page.locator(".budget").first).to_contain_text("of 60 tokens")


@pytest.mark.slow
def test_joules_and_money_where_they_are_declared(new_page: Pages, priced_server: Server) -> None:
    page = new_page(priced_server.url)
    page.get_by_role("switch", name="DeepThink").click()
    ask(page, "What is the capital of France?")
    answered(page)
    line = page.locator(".receipt summary")
    expect(line).to_contain_text(re.compile(r"[\d.]+ k?J \(modelled\)"))
    expect(line).to_contain_text(re.compile(r"\$0\.0\d+ \(declared\)"))
    spent = priced_server.last_message(page.url.rsplit("/", 1)[1])["spent"]
    assert spent["money"]["value"] > 0
    assert spent["energy"]["value"] > 0
    line.click()
    expect(page.locator(".receipt dl")).to_contain_text(spent["money"]["how"][:40])
    # Where the weights come from.
    page.locator(".receipt").get_by_role("button", name="smollm2-135m-instruct").click()
    proof = page.locator("dialog.proof")
    expect(proof).to_contain_text("Apache-2.0")
    expect(proof).to_contain_text("unknown")
    assert nameless(page) == []
    page.keyboard.press("Escape")
    expect(proof).to_have_count(0)
    page.get_by_role("link", name="Books", exact=True).click()
    expect(page.locator(".totals")).to_contain_text(re.compile(r"\$0\.0\d+\S* \(declared\)"))
    expect(page.locator(".teach")).to_contain_text("electricity")
