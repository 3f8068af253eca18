"""What a screen reader would miss: a small part of what axe checks, asked of the page itself."""

from __future__ import annotations

from playwright.sync_api import Page

_NAMELESS = """() => {
  const wrong = [];
  const words = (element) => (element.getAttribute('aria-label') || '').trim()
    || [...(element.getAttribute('aria-labelledby') || '').split(/\\s+/)].filter(Boolean)
         .map((id) => document.getElementById(id)?.textContent ?? '').join(' ').trim()
    || [...(element.labels ?? [])].map((label) => label.textContent).join(' ').trim()
    || (element.matches('input, select, textarea') ? '' : element.textContent.trim());
  const say = (what, element) => wrong.push(`${what}: ${element.outerHTML.slice(0, 120)}`);
  const acting = 'a[href], button, input, select, textarea, summary, [tabindex="0"], [role="img"], [role="meter"]';
  for (const element of document.querySelectorAll(acting)) if (!words(element)) say('no name', element);
  for (const image of document.querySelectorAll('img:not([alt])')) say('no alt', image);
  for (const drawing of document.querySelectorAll('svg')) {
    const hidden = drawing.closest('[aria-hidden="true"]') || drawing.closest('[role="img"]');
    if (!hidden && !drawing.querySelector('title')) say('a drawing without words', drawing);
  }
  for (const cell of document.querySelectorAll('th:not([scope])')) say('no scope', cell);
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`twice: #${id}`);
  for (const element of document.querySelectorAll('[aria-labelledby], [aria-controls], [aria-describedby]')) {
    for (const name of ['aria-labelledby', 'aria-describedby'])
      for (const id of (element.getAttribute(name) || '').split(/\\s+/).filter(Boolean))
        if (!document.getElementById(id)) say(`${name} leads nowhere`, element);
  }
  const headings = [...document.querySelectorAll('main :is(h1, h2, h3, h4)')];
  const levels = headings.filter((heading) => !heading.closest('dialog')).map((heading) => Number(heading.tagName[1]));
  levels.forEach((level, at) => {
    if (level > (levels[at - 1] ?? 0) + 1) wrong.push(`a heading skips a level: h${level}`);
  });
  return wrong;
}"""


def nameless(page: Page) -> list[str]:
    """Everything that acts and has no name, pictures without words, headers without scope, ids used twice."""
    found: list[str] = page.evaluate(_NAMELESS)
    return found
