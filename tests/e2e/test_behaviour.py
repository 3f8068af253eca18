"""How the page behaves: many tabs, two windows in one chat, what stays where it is, where a search lands, the focus."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from driving import Pages, Server, ask
from playwright.sync_api import Locator, Page, expect
from test_page import answered, imported

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]

TEXT = "A paragraph of some length. " * 12


def conversation_in(page: Page) -> str:
    page.wait_for_url("**/c/*")
    return page.url.rsplit("/", 1)[1]


def top_of(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["y"]


def settled(page: Page) -> None:
    """Until nothing of the thread has moved for a while."""
    page.evaluate(
        """() => new Promise((resolve) => {
            const box = document.querySelector('.thread');
            let last = '', still = 0;
            const look = () => {
                const now = `${box.scrollTop} ${box.scrollHeight}`;
                still = now === last ? still + 1 : 0;
                last = now;
                if (still > 20) resolve(); else requestAnimationFrame(look);
            };
            look();
        })"""
    )


# One connection for all tabs


def test_twelve_tabs_and_a_question_in_the_twelfth(new_page: Pages, echo: Server) -> None:
    first = new_page(echo.url)
    tabs = [first] + [first.context.new_page() for _ in range(11)]
    for tab in tabs[1:]:
        tab.goto(echo.url)
        expect(tab.locator("#question")).to_be_visible()
        expect(tab.locator(".starters, .first").first).to_be_visible()
    for tab in (tabs[11], tabs[5], tabs[0]):
        tab.bring_to_front()
        ask(tab, "[slow] one two three four five six")
        expect(tab.locator(".answer .prose")).to_contain_text("one two")
    # All of them hear of it, and three answers at once leave room for more.
    for tab in tabs:
        expect(tab.locator(".row", has_text="one two three").first).to_be_visible()
    for tab in (tabs[11], tabs[5], tabs[0]):
        answered(tab)
        expect(tab.locator(".answer .prose")).to_have_text("one two three four five six")


def test_the_tab_that_came_first_may_close(new_page: Pages, echo: Server) -> None:
    first = new_page(echo.url)
    second, third = first.context.new_page(), first.context.new_page()
    for tab in (second, third):
        tab.goto(echo.url)
        expect(tab.locator("#question")).to_be_visible()
    second.bring_to_front()
    ask(second, "[slow] alpha beta gamma delta epsilon zeta eta theta iota kappa lambda")
    conversation = conversation_in(second)
    expect(second.locator(".answer .prose")).to_contain_text("alpha")
    first.close()
    third.goto(f"{echo.url}/c/{conversation}")  # comes in the middle, and is told what had come
    expect(third.locator(".answer .prose")).to_contain_text("alpha")
    third.close()
    answered(second)
    expect(second.locator(".answer .prose")).to_have_text(
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda"
    )


def test_a_frozen_tab_stops_nobody(new_page: Pages, echo: Server) -> None:
    first = new_page(echo.url)
    second = first.context.new_page()
    second.goto(echo.url)
    freezer = first.context.new_cdp_session(first)
    freezer.send("Page.setWebLifecycleState", {"state": "frozen"})
    second.bring_to_front()
    ask(second, "[slow] still here all the while")
    answered(second)
    expect(second.locator(".answer .prose")).to_have_text("still here all the while")
    freezer.send("Page.setWebLifecycleState", {"state": "active"})
    expect(first.locator(".row", has_text="still here").first).to_be_visible()


def test_without_shared_workers_a_tab_listens_alone(new_page: Pages, echo: Server) -> None:
    page = new_page("about:blank", site=echo.url)
    page.add_init_script("delete window.SharedWorker")
    listens: list[str] = []
    page.on("request", lambda request: listens.append(request.url) if "/api/live" in request.url else None)
    page.goto(echo.url)
    ask(page, "[slow] alone but well")
    answered(page)
    expect(page.locator(".answer .prose")).to_have_text("alone but well")
    assert len([url for url in listens if "?listener=" in url]) == 1


def test_a_worker_that_does_not_come_is_done_without(new_page: Pages, echo: Server) -> None:
    page = new_page("about:blank", site=echo.url)
    page.context.route("**/hub.worker*", lambda route: route.abort())
    page.add_init_script("window.SharedWorker = class extends SharedWorker { constructor() { super('/nowhere.js') } }")
    page.goto(echo.url)
    ask(page, "no worker needed")
    answered(page)
    expect(page.locator(".answer .prose")).to_have_text("no worker needed")


# What stays where it is


def a_long_chat(echo: Server, title: str) -> str:
    asked = imported(echo, title, [(f"Question {index}", f"{TEXT}\n\n- one\n- two") for index in range(6)])
    return asked


def test_opening_a_receipt_moves_nothing_above_it(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    for text in ("first", "second", "third"):
        ask(page, f"{text} {TEXT}")
        answered(page)
    settled(page)  # at its end, where one usually is
    line = page.locator(".receipt summary").nth(1)
    expect(line).to_be_in_viewport()
    before = top_of(line)
    for _ in range(3):  # open, close, open
        line.click()
        settled(page)
        assert abs(top_of(line) - before) < 2
    expect(page.locator(".receipt[open] dl")).to_be_visible()


def test_unfolding_an_older_thought_moves_nothing_above_it(new_page: Pages, echo: Server) -> None:
    page = new_page(f"{echo.url}/c/{a_long_chat(echo, 'Thoughts')}")
    expect(page.locator(".answer")).to_have_count(6)
    settled(page)
    for number in (5, 4):
        fold = page.locator(".fold").nth(number)
        if number == 4:
            page.mouse.move(700, 300)
            page.mouse.wheel(0, -300)
            settled(page)
        expect(fold).to_be_in_viewport()
        before = top_of(fold)
        for _ in range(2):
            fold.click()
            settled(page)
            assert abs(top_of(fold) - before) < 2, number
        fold.click()


def test_what_opens_below_the_window_comes_into_it(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, f"{TEXT}\n\n{TEXT}\n\n{TEXT}\n\n{TEXT}")
    answered(page)
    settled(page)
    line = page.locator(".receipt summary")
    line.click()
    settled(page)
    expect(line).to_be_in_viewport()
    expect(page.locator(".receipt dl > div").first).to_be_in_viewport()
    expect(page.locator(".receipt dl > div").nth(2)).to_be_in_viewport()


def test_other_versions_come_where_the_arrow_was_clicked(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    for text in ("one", "two", "three"):
        ask(page, f"{text} {TEXT}\n\n{TEXT}")
        answered(page)
    first = page.locator(".question").nth(1)
    first.hover()
    first.get_by_role("button", name="Edit").click()
    page.get_by_label("Edit the question").fill(f"other {TEXT}\n\n{TEXT}\n\n{TEXT}")
    page.keyboard.press("Enter")
    answered(page)
    settled(page)
    arrow = page.locator(".question").nth(1).get_by_role("button", name="Previous version")
    arrow.scroll_into_view_if_needed()
    settled(page)
    before = top_of(arrow)
    arrow.click()
    expect(page.locator(".question")).to_have_count(3)
    settled(page)
    there = page.locator(".question").nth(1).locator(".branches")
    assert abs(top_of(there) - before) < 12


def test_the_end_is_followed_while_an_answer_is_written_and_left_by_a_click(new_page: Pages, echo: Server) -> None:
    page = new_page(f"{echo.url}/c/{a_long_chat(echo, 'Followed')}")
    settled(page)
    ask(page, "[slow] " + "line\n\n" * 16)
    left = "(box) => box.scrollHeight - box.scrollTop - box.clientHeight"
    expect(page.locator(".answer .prose").last).to_contain_text("line\nline\nline")
    assert page.locator(".thread").evaluate(left) < 60
    fold = page.locator(".fold").nth(5)
    page.mouse.move(700, 400)
    page.mouse.wheel(0, -(300 - top_of(fold)))
    expect(fold).to_be_in_viewport()
    settled(page)
    before = top_of(fold)
    fold.click()
    answered(page)
    settled(page)
    assert abs(top_of(fold) - before) < 2
    page.get_by_role("button", name="To the end").click()
    settled(page)
    assert page.locator(".thread").evaluate(left) < 5


def test_who_asks_before_the_page_is_ready_is_not_thrown_out(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    held: list[Any] = []
    page.route("**/api/state", lambda route: held.append(route))
    page.goto(f"{echo.url}/")
    page.fill("#question", "[slow] quick fingers")
    page.keyboard.press("Enter")
    expect(page.locator(".asked")).to_contain_text("quick fingers")
    for route in held:
        route.continue_()
    answered(page)
    expect(page.locator(".asked")).to_contain_text("quick fingers")
    assert conversation_in(page)


def test_what_is_typed_while_a_chat_is_opened_is_typed_to_it(new_page: Pages, echo: Server) -> None:
    conversation = imported(echo, "Slow to open", [("one", "1")])
    page = new_page(echo.url)
    page.fill("#question", "for a new chat")
    held: list[Any] = []
    page.route(f"**/api/conversations/{conversation}", lambda route: held.append(route))
    page.locator(f".row a[href='/c/{conversation}']").click()
    expect(page.locator("#question")).to_have_value("")
    page.fill("#question", "for this one")
    page.keyboard.press("Enter")
    expect(page.locator(".not-yet")).to_contain_text("still being opened")
    for route in held:
        route.continue_()
    expect(page.locator(".asked")).to_have_text("one")
    expect(page.locator(".not-yet")).to_have_count(0)
    expect(page.locator("#question")).to_have_value("for this one")
    page.keyboard.press("Enter")
    answered(page)
    expect(page.locator(".asked").last).to_have_text("for this one")


# Where a search lands


def test_search_lands_on_the_message_and_goes_on(new_page: Pages, echo: Server) -> None:
    turns = [(f"Question {index}", f"{TEXT}\n\n- one\n- two") for index in range(60)]
    turns[7] = ("Why blue?", f"{TEXT} It is Rayleigh scattering. {TEXT}")
    turns[31] = ("Is rayleigh a person?", TEXT)
    conversation = imported(echo, "Two hits far apart", turns)
    page = new_page(echo.url)
    page.keyboard.press("Control+k")
    page.keyboard.type("rayleigh")
    expect(page.locator(".rows mark").first).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/c/{conversation}")
    seen = set()
    for _ in range(3):
        found = page.locator("[data-found]")
        expect(found).to_have_count(1)
        settled(page)
        assert found.evaluate("(one) => one.innerText.toLowerCase().includes('rayleigh')")
        place = page.evaluate(
            "() => { const [range] = CSS.highlights.get('found'); const at = range.getBoundingClientRect();"
            " return [range.toString(), at.top, innerHeight] }"
        )
        assert place[0].lower() == "rayleigh"
        assert 0 < place[1] < place[2] - 100
        words = page.locator(".found-bar").inner_text()
        seen.add(re.search(r"(\d) of 3|(\d) of 2", words)[0])  # type: ignore[index]
        expect(page.locator("#search")).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_function("(words) => document.querySelector('.found-bar').innerText !== words", arg=words)
    assert len(seen) >= 2
    page.get_by_role("button", name="Done").click()
    expect(page.locator("[data-found]")).to_have_count(0)


def test_a_key_that_is_pressed_as_soon_as_there_is_a_page_leads_where_it_should(new_page: Pages, echo: Server) -> None:
    conversation = imported(echo, "Pressed early", [("q", "a")])
    page = new_page(echo.url)
    # In the very moment that the list is drawn, and as the chat is still being fetched.
    page.context.add_init_script("""
      new MutationObserver((_, observer) => {
        if (!document.querySelector('#search')) return;
        observer.disconnect();
        document.dispatchEvent(new KeyboardEvent('keydown', { key: 'k', ctrlKey: true, bubbles: true }));
        window.early = document.activeElement.id;
      }).observe(document, { childList: true, subtree: true });
    """)
    held: list[Any] = []
    page.route(f"**/api/conversations/{conversation}", lambda route: held.append(route))
    for address in ("/", f"/c/{conversation}"):
        page.goto(echo.url + address)
        page.wait_for_function("() => window.early === 'search'")
        page.keyboard.type("pres")
        for route in held:
            route.continue_()
        if held:
            expect(page.locator(".asked")).to_have_text("q")
        page.keyboard.type("sed")
        expect(page.locator("#search")).to_have_value("pressed")
        expect(page.locator("#question")).to_have_value("")


def test_search_lands_in_thinking_in_an_attachment_and_on_another_branch(new_page: Pages, echo: Server) -> None:
    messages: list[dict[str, Any]] = [
        {
            "id": "q",
            "role": "user",
            "content": "With a file",
            "attachments": [{"name": "a.txt", "text": "a xylophone"}],
        },
        {"id": "a", "parent_id": "q", "role": "assistant", "content": TEXT * 4, "thinking": "the marimba is wooden"},
        {"id": "b", "parent_id": "q", "role": "assistant", "content": f"The glockenspiel. {TEXT}"},
        {"id": "q2", "parent_id": "a", "role": "user", "content": f"And more? {TEXT * 4}"},
        {"id": "a2", "parent_id": "q2", "role": "assistant", "content": TEXT * 4},
    ]
    body = {"format": "clearseek-conversation", "version": 1, "title": "Instruments", "messages": messages}
    echo.post("/api/conversations/import", body | {"current": "a2"})
    page = new_page(echo.url)
    for word, place in (("marimba", ".workings"), ("xylophone", ".chips"), ("glockenspiel", ".prose")):
        page.fill("#search", word)
        expect(page.locator(".rows mark").first).to_have_text(word)
        page.locator("#search").press("Enter")
        expect(page.locator(f"[data-found] {place}").first).to_be_in_viewport()
    assert page.locator("[data-found]").inner_text().count("glockenspiel") == 1


# Two windows


def test_two_windows_that_ask_at_once_each_keep_their_own_question(new_page: Pages, echo: Server) -> None:
    conversation = imported(echo, "Shared", [("one", "1")])
    one, two = new_page(f"{echo.url}/c/{conversation}"), new_page(f"{echo.url}/c/{conversation}")
    for page in (one, two):
        expect(page.locator(".answer")).to_have_count(1)
    one.fill("#question", "[slow] asked in one " + "w " * 20)
    two.fill("#question", "[slow] asked in two " + "w " * 20)
    one.keyboard.press("Enter")
    two.keyboard.press("Enter")
    for page, own in ((one, "asked in one"), (two, "asked in two")):
        expect(page.locator(".notice")).to_contain_text("Another window asked here too")
        expect(page.locator(".asked").last).to_contain_text(own)
    for page, own in ((one, "asked in one"), (two, "asked in two")):
        answered(page)
        expect(page.locator(".asked").last).to_contain_text(own)
        expect(page.locator(".answer .prose").last).to_contain_text(own)
        expect(page.locator(".question .branches").last).to_contain_text("/2")
    one.get_by_role("button", name="Show the other").click()
    expect(one.locator(".asked").last).to_contain_text("asked in two")
    expect(two.locator(".asked").last).to_contain_text("asked in two")


def test_a_chat_deleted_elsewhere_offers_a_new_one(new_page: Pages, echo: Server) -> None:
    conversation = imported(echo, "To be deleted", [("one", "1")])
    page = new_page(f"{echo.url}/c/{conversation}")
    page.fill("#question", "written before it went")
    httpx.delete(f"{echo.url}/api/conversations/{conversation}").raise_for_status()
    expect(page.locator(".notice")).to_contain_text("deleted in another window")
    expect(page.locator(".answer")).to_have_count(1)  # it can still be read
    page.locator(".answer").hover()
    for name in ("Regenerate", "Continue", "Edit"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    expect(page.locator("#question")).to_have_value("written before it went")
    page.get_by_role("button", name="Ask in a new chat").click()
    answered(page)
    expect(page.locator(".asked")).to_have_text("written before it went")
    expect(page.locator("#question")).to_have_value("")
    assert conversation_in(page) != conversation


def test_asking_in_a_chat_that_is_gone_is_told_and_loses_nothing(new_page: Pages, echo: Server) -> None:
    conversation = imported(echo, "Gone in silence", [("one", "1")])
    page = new_page(f"{echo.url}/c/{conversation}")
    expect(page.locator(".answer")).to_have_count(1)
    page.context.route("**/api/live**", lambda route: route.abort())
    page.evaluate("() => document.dispatchEvent(new Event('x'))")
    page.fill("#question", "too late")
    httpx.delete(f"{echo.url}/api/conversations/{conversation}").raise_for_status()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.notice') || location.pathname === '/'")
    if page.locator(".asked", has_text="too late").count() == 0:
        expect(page.locator("#question")).to_have_value("too late")
        page.get_by_role("button", name="Ask in a new chat").click()
    expect(page.locator(".asked")).to_have_text("too late")


# Words for what cannot be done now


def test_enter_while_an_answer_is_written_says_so_and_keeps_the_question(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "[slow] " + "word " * 20)
    expect(page.locator(".answer .prose")).to_be_visible()
    page.fill("#question", "the next one")
    page.keyboard.press("Enter")
    expect(page.locator(".not-yet")).to_contain_text("still being written")
    expect(page.get_by_role("status").filter(has_text="still being written")).to_have_count(1)
    expect(page.locator("#question")).to_have_value("the next one")
    page.keyboard.press("Escape")
    expect(page.locator(".answer")).to_have_attribute("data-status", "stopped")
    expect(page.locator(".not-yet")).to_have_count(0)
    expect(page.locator("#question")).to_have_value("the next one")
    page.keyboard.press("Enter")
    answered(page)
    expect(page.locator(".asked").last).to_have_text("the next one")


def test_a_dead_server_is_told_in_true_words(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "[slow] " + "word " * 30)
    expect(page.locator(".answer .prose")).to_contain_text("word word")
    port = echo.port
    echo.stop(signal.SIGKILL)
    try:
        expect(page.locator(".lost")).to_contain_text("the last words may be missing")
        expect(page.locator(".lost")).not_to_contain_text("nothing is lost")
    finally:
        echo.start(port)
    expect(page.locator(".lost")).to_have_count(0)
    expect(page.locator(".answer")).to_have_attribute("data-status", "interrupted")


# Drafts


def test_every_chat_keeps_its_own_draft(new_page: Pages, echo: Server) -> None:
    one, two = (imported(echo, f"Draft {name}", [(name, name)]) for name in ("one", "two"))
    page = new_page(echo.url)
    page.fill("#question", "for a new chat")
    for chat, text in ((one, "for one"), (two, "for two")):
        page.locator(f".row a[href='/c/{chat}']").click()
        page.wait_for_url(f"**/c/{chat}")
        expect(page.locator(".asked")).to_have_count(1)
        expect(page.locator("#question")).to_have_value("")
        page.fill("#question", text)
    page.reload()
    expect(page.locator("#question")).to_have_value("for two")
    page.locator(f".row a[href='/c/{one}']").click()
    expect(page.locator("#question")).to_have_value("for one")
    page.locator("#question").press("Enter")
    expect(page.locator(".asked").last).to_have_text("for one")
    expect(page.locator("#question")).to_have_value("")
    page.locator(f".row a[href='/c/{two}']").click()
    expect(page.locator("#question")).to_have_value("for two")
    page.get_by_role("button", name="New chat").first.click()
    expect(page.locator("#question")).to_have_value("for a new chat")
    page.go_back()
    expect(page.locator("#question")).to_have_value("for two")


# The list


def test_the_list_shows_which_chats_are_being_answered(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "[slow] " + "busy " * 14)
    conversation = conversation_in(page)
    row = page.locator(".row", has=page.locator(f"a[href='/c/{conversation}']"))
    page.get_by_role("button", name="New chat").first.click()
    expect(row.locator(".answering")).to_be_visible()
    expect(row).to_contain_text("an answer is being written")
    echo.wait_for_end(conversation)
    expect(row.locator(".answering")).to_have_count(0)


def test_nothing_moves_under_the_pointer(new_page: Pages, echo: Server) -> None:
    chats = [imported(echo, f"Steady {number}", [("q", "a")]) for number in range(5)]
    page = new_page(echo.url)
    link = page.locator(f".row a[href='/c/{chats[1]}']")
    link.hover()
    before = [row.get_attribute("href") for row in page.locator(".row a").all()][:5]
    current = echo.last_message(chats[0])["id"]
    echo.post(f"/api/conversations/{chats[0]}/messages", {"content": "hello", "parent_id": current})
    echo.wait_for_end(chats[0])
    imported(echo, "A newcomer", [("q", "a")])
    page.wait_for_timeout(1_500)
    assert [row.get_attribute("href") for row in page.locator(".row a").all()][:5] == before
    page.mouse.move(800, 300)
    expect(page.locator(".row a").first).to_contain_text("A newcomer")
    expect(page.locator(".row a").nth(1)).to_contain_text("Steady 0")


def test_the_list_is_one_stop_and_the_arrows_go_through_it(new_page: Pages, echo: Server) -> None:
    for number in range(4):
        imported(echo, f"Roving {number}", [("q", "a")])
    page = new_page(echo.url)
    expect(page.locator(".row").nth(3)).to_be_visible()
    expect(page.locator(".rows a[tabindex='0'], .rows .tools button[tabindex='0']")).to_have_count(1)
    page.locator("#search").focus()
    page.keyboard.press("Tab")
    expect(page.locator(".row a").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".row a").nth(1)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("button", name="Rename “Roving 2”")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("F2")
    expect(page.get_by_label("New title")).to_be_focused()
    page.keyboard.type("Renamed by key")
    page.keyboard.press("Enter")
    expect(page.locator(".row a", has_text="Renamed by key")).to_be_focused()
    page.keyboard.press("Delete")
    expect(page.get_by_role("button", name="Keep")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".row a", has_text="Renamed by key")).to_be_focused()
    page.keyboard.press("Delete")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator(".row a", has_text="Renamed by key")).to_have_count(0)
    page.wait_for_function("() => document.activeElement.closest('.rows') !== null")


def test_several_chats_and_all_are_deleted(new_page: Pages, echo: Server) -> None:
    for number in range(4):
        imported(echo, f"Heap {number}", [("q", "a")])
    page = new_page(echo.url)
    page.get_by_role("button", name="Delete several").click()
    page.get_by_label("Heap 1").check()
    page.get_by_label("Heap 3").check()
    page.get_by_role("button", name="Delete…").click()
    expect(page.locator(".picking")).to_contain_text("Delete 2 chats for good?")
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator(".row", has_text="Heap 1")).to_have_count(0)
    expect(page.locator(".row", has_text="Heap 3")).to_have_count(0)
    expect(page.locator(".row", has_text="Heap 2")).to_have_count(1)
    page.wait_for_function("() => document.activeElement !== document.body")
    page.get_by_role("button", name="Delete several").click()
    page.get_by_role("button", name="All…").click()
    page.get_by_role("button", name="Delete all").click()
    expect(page.locator(".rows .empty")).to_be_visible()
    assert echo.get("/api/conversations")["conversations"] == []


def test_what_was_done_outlives_a_reload_in_the_same_moment(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    ask(page, "first")
    answered(page)
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".answer .branches")).to_contain_text("2/2")
    answered(page)
    # All six connections that a browser makes are taken, as on a busy machine: what is asked now has to wait.
    page.evaluate(
        """() => {
          const body = JSON.stringify({ model: "echo", messages: [{ role: "user", content: "[ponder] x" }] });
          const headers = { "Content-Type": "application/json" };
          const ask = () => fetch("/v1/chat/completions", { method: "POST", headers, body }).catch(() => 0);
          for (let i = 0; i < 6; i++) void ask();
          document.querySelector('[aria-label="Previous version"]').click();
          location.reload();
        }"""
    )
    expect(page.locator(".answer .branches")).to_contain_text("1/2")
    page.reload()
    expect(page.locator(".answer .branches")).to_contain_text("1/2")


# The keyboard


def test_the_focus_is_never_lost(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    lost = "() => document.activeElement === document.body"

    def press(name: str) -> None:
        button = page.get_by_role("button", name=name, exact=True).last
        button.focus()
        page.keyboard.press("Enter")

    ask(page, "[full] half of it")
    answered(page)
    press("Continue")
    answered(page)
    page.wait_for_function("() => document.activeElement !== document.body")
    press("Regenerate")
    expect(page.locator(".answer .branches")).to_contain_text("2/2")
    answered(page)
    page.wait_for_function("() => document.activeElement !== document.body")
    press("Edit")
    page.get_by_role("button", name="Cancel").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Edit").last).to_be_focused()
    press("Edit")
    page.keyboard.press("Enter")
    expect(page.locator(".question .branches")).to_contain_text("2/2")
    answered(page)
    page.wait_for_function("() => document.activeElement !== document.body")
    previous = page.get_by_role("button", name="Previous version").first
    previous.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement !== document.body")
    ask(page, "[die] this is a sentence that will not be said to its end")
    expect(page.locator(".trouble")).to_be_visible()
    press("Try again")
    page.wait_for_timeout(300)
    assert not page.evaluate(lost)
    page.locator(".row[data-current] a").focus()
    page.keyboard.press("Delete")
    page.get_by_role("button", name="Delete", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_focused()


def test_the_first_stop_leads_past_the_list(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    skip = page.get_by_role("link", name="Skip to the question")
    first = page.locator("a[href], button, input, textarea, [tabindex='0']").first
    first.focus()
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_focused()
    page.goto(f"{echo.url}/books")
    expect(page.locator("#prices")).to_be_visible()
    page.get_by_role("link", name="Skip to the page").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_question_mark_shows_the_keys(new_page: Pages, echo: Server) -> None:
    page = new_page(echo.url)
    page.locator("#question").focus()
    page.keyboard.type("why?")
    expect(page.locator("#question")).to_have_value("why?")
    expect(page.locator("dialog.keys")).to_have_count(0)
    page.keyboard.press("Control+/")
    expect(page.locator("dialog.keys")).to_contain_text("New chat")
    page.keyboard.press("Escape")
    expect(page.locator("dialog.keys")).to_have_count(0)
    page.locator(".new").focus()
    page.keyboard.press("?")
    expect(page.locator("dialog.keys")).to_be_visible()


@pytest.mark.parametrize("width", [1100, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits(new_page: Pages, echo: Server, tmp_path: Path, width: int, scheme: str) -> None:
    page = new_page(echo.url, viewport={"width": width, "height": 760}, color_scheme=scheme)
    ask(page, "[slow] " + "word " * 12)
    page.fill("#question", "next")
    page.keyboard.press("Enter")
    expect(page.locator(".not-yet")).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    page.keyboard.press("Control+/")
    expect(page.locator("dialog.keys")).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
