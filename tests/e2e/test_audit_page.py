"""The Audit page: claims with verdicts, inputs that move, and an address that carries them and executes nothing."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
from driving import Pages, Server
from looking import nameless
from playwright.sync_api import Page, Route, expect

pytestmark = pytest.mark.browser

CLAIM = "deepseek-v3-pretraining"
ATTACK = "<img src=x onerror=window.__pwned=1>"


def press(page: Page, path: str, key: str, times: int) -> None:
    slider = page.locator(f".input[data-path='{path}'] input")
    slider.focus()
    for _ in range(times):
        page.keyboard.press(key)


def test_a_slider_changes_the_verdict_and_the_arithmetic(new_page: Pages, echo: Server) -> None:
    page = new_page(f"{echo.url}/audit")
    rows = echo.get("/api/audit/claims")
    expect(page.locator(".claims li")).to_have_count(len(rows))
    row = next(row for row in rows if row["name"] == CLAIM)
    page.get_by_role("link", name=row["title"]).first.click()
    page.wait_for_url(f"**/audit/{CLAIM}")
    expect(page).to_have_title(re.compile(re.escape(row["title"])))
    verdict = page.locator(".verdict")
    expect(verdict.locator(".status")).to_have_text("Plausible")
    expect(verdict).to_contain_text("39.1%")
    expect(page.locator("#arithmetic ~ div", has_text="2.664M chip-hours").first).to_be_visible()

    # With the keyboard: half the hours, and no such chip could have done the work.
    press(page, "run.gpu_hours", "PageDown", 2)
    expect(verdict.locator(".status")).to_have_text(re.compile("Impossible|Extraordinary"))
    expect(page.locator(".why")).to_contain_text("one number was moved")
    assert "set=run.gpu_hours:" in page.url
    expect(page.locator("#checks ~ div")).to_contain_text("contradicts")
    expect(page.locator(".command")).to_contain_text("--set 'run.gpu_hours=")
    moved = page.locator(".input[data-path='run.gpu_hours'] output").inner_text()

    # The address alone gives the same, elsewhere.
    other = new_page(page.url)
    expect(other.locator(".verdict .status")).to_have_text(verdict.locator(".status").inner_text())
    assert other.locator(".input[data-path='run.gpu_hours'] output").inner_text() == moved
    # Back to the claim.
    page.get_by_role("button", name="Back to the claim as it stands").click()
    expect(verdict.locator(".status")).to_have_text("Plausible")
    assert "set=" not in page.url
    page.get_by_role("link", name="All claims").click()
    expect(page.locator(".claims")).to_be_visible()
    page.go_back()
    expect(verdict.locator(".status")).to_have_text("Plausible")


def test_what_the_page_says_is_what_the_server_says(new_page: Pages, echo: Server) -> None:
    page = new_page(f"{echo.url}/audit/{CLAIM}")
    told = echo.post("/api/audit", {"claim": CLAIM})
    expect(page.locator(".verdict .status")).to_have_text(told["verdict"]["status"].capitalize())
    for line in told["lines"]:
        row = page.locator("#arithmetic ~ div li", has_text=line["label"]).filter(has_text=line["shown"])
        expect(row.first).to_contain_text(f"({line['quantity']['basis']})")
    page.locator("#where ~ details summary").click()
    table = page.locator("#where ~ details tbody tr")
    expect(table).to_have_count(len(told["conventions"]))
    expect(table.filter(has_text="the verdict stands on this")).to_have_count(1)
    expect(page.locator(".tornado li")).to_have_count(len(told["swings"]))
    assert nameless(page) == []


def test_every_claim_can_be_shown(new_page: Pages, echo: Server) -> None:
    page = new_page(f"{echo.url}/audit")
    for row in echo.get("/api/audit/claims"):
        page.goto(f"{echo.url}/audit/{row['name']}")
        status = row["status"].replace("-", " ").capitalize()
        expect(page.locator(".verdict .status")).to_have_text(status)
        expect(page.locator(".verdict .status")).to_have_attribute("data-status", row["status"])
        assert not re.search(r"undefined|NaN|\[object", page.locator(".sheet").inner_text()), row["name"]


def test_an_address_executes_nothing_and_is_bounded(new_page: Pages, echo: Server) -> None:
    asked: list[Any] = []
    page = new_page(echo.url)
    page.on("request", lambda request: asked.append(request) if request.url.endswith("/api/audit") else None)
    attack = [
        ATTACK,
        f"run.mfu:{ATTACK}",
        "__proto__.x:1",
        "constructor:1",
        "run.mfu:0x10",
        "run.mfu:",
        "run.mfu:alert(1)",
    ]
    page.goto(f"{echo.url}/audit/{CLAIM}?" + "&".join(f"set={quote(one)}" for one in attack))
    expect(page.locator(".verdict .status")).to_have_text("Plausible")
    assert [request.post_data_json["set"] for request in asked if request.post_data_json["set"]] == [{"constructor": 1}]
    expect(page.locator(".refused")).to_contain_text("no `constructor`")
    asked.clear()
    page.goto(f"{echo.url}/audit/{CLAIM}?" + "&".join(f"set=run.x{number}:1" for number in range(2000)))
    expect(page.locator(".verdict .status")).to_have_text("Plausible")
    assert all(not request.post_data_json["set"] for request in asked)
    page.goto(f"{echo.url}/audit/{quote(ATTACK, safe='')}")
    expect(page.locator(".sheet [role=alert]")).to_contain_text("There is no claim")
    assert page.locator(".sheet img").count() == 0
    assert page.evaluate("() => window.__pwned") is None


def test_an_input_that_cannot_be_is_refused_in_a_sentence(new_page: Pages, echo: Server) -> None:
    page = new_page(f"{echo.url}/audit/{CLAIM}?set=run.mfu:400")
    expect(page.locator(".refused")).to_be_visible()
    expect(page.locator(".verdict .status")).to_have_text("Plausible")  # of the claim as it stands
    page.get_by_role("button", name="Back to the claim as it stands").click()
    expect(page.locator(".refused")).to_have_count(0)


def test_what_a_claim_says_is_text(new_page: Pages, echo: Server) -> None:
    told = echo.post("/api/audit", {"claim": CLAIM})
    told["claim"] |= {"title": ATTACK, "summary": ATTACK, "notes": [ATTACK], "sources": [ATTACK]}
    told["verdict"] |= {"headline": f"Plausible: {ATTACK}", "why": ATTACK}
    for line in told["lines"]:
        line |= {"label": ATTACK, "source": ATTACK}
    page = new_page(echo.url)

    def answer(route: Route) -> None:
        route.fulfill(json=told)

    page.route("**/api/audit", answer)
    page.goto(f"{echo.url}/audit/{CLAIM}")
    expect(page.locator(".sheet h1")).to_have_text(ATTACK)
    assert page.locator(".sheet img").count() == 0
    assert page.evaluate("() => window.__pwned") is None


def test_on_a_phone_and_with_the_keyboard(new_page: Pages, echo: Server) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = new_page(f"{echo.url}/audit/{CLAIM}", **phone)
    expect(page.locator(".verdict .status")).to_have_text("Plausible")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    # The verdict stays in sight while the inputs are moved.
    page.locator(".input").last.scroll_into_view_if_needed()
    expect(page.locator(".verdict .status")).to_be_in_viewport()
    page.goto(f"{echo.url}/audit")
    expect(page.locator(".claims li").first).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390

    page = new_page(f"{echo.url}/audit")
    expect(page.locator(".sheet h1")).to_be_focused()
    expect(page.locator(".claims li").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator(".claims a").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".verdict .status")).to_be_visible()
    expect(page.locator(".verdict")).to_have_attribute("aria-live", "polite")
    assert nameless(page) == []
