"""Takes the pictures of the page that the documentation shows, from a server that is running.

    python web/screenshots.py http://127.0.0.1:8420

Asks the model QUESTION, waits for its answer, unfolds the thinking, and saves `docs/images/chat.png` (light) and
`chat-dark.png`; then `books.png` and `audit.png`. What the model says and what the books hold is what is shown: a
server with prices and watts declared shows money and joules, and one that has been asked for a while shows more.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
QUESTION = "How many legs do 3 spiders and 2 cats have in total?"
CLAIM = "deepseek-v3-pretraining"
SIZE: ViewportSize = {"width": 1280, "height": 720}
TALL: ViewportSize = {"width": 1280, "height": 1100}


def shoot(page: Page, name: str) -> None:
    page.mouse.move(SIZE["width"] - 5, SIZE["height"] // 2)
    page.wait_for_timeout(400)
    page.screenshot(path=IMAGES / name)


def chat(page: Page, name: str) -> None:
    page.locator(".fold").last.click()
    shoot(page, name)


def main(url: str) -> None:
    path = next(found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name)))
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(viewport=SIZE, color_scheme="light").new_page()
        page.goto(url)
        page.get_by_role("radio", name="low").check(force=True)
        page.fill("#question", QUESTION)
        page.keyboard.press("Enter")
        expect(page.locator(".receipt")).to_be_visible(timeout=300_000)
        print(page.locator(".answer .prose").last.inner_text(), "|", page.locator(".receipt summary").inner_text())
        chat(page, "chat.png")
        dark = browser.new_context(viewport=SIZE, color_scheme="dark").new_page()
        dark.goto(page.url)
        expect(dark.locator(".receipt")).to_be_visible()
        dark.get_by_role("radio", name="low").check(force=True)
        chat(dark, "chat-dark.png")

        tall = browser.new_context(viewport=TALL, color_scheme="light").new_page()
        tall.goto(f"{url}/books")
        tall.get_by_role("radio", name="7 days").check(force=True)
        expect(tall.locator(".chart canvas")).to_be_visible()
        shoot(tall, "books.png")
        tall.goto(f"{url}/audit/{CLAIM}")
        expect(tall.locator(".scale")).to_be_visible()
        shoot(tall, "audit.png")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
