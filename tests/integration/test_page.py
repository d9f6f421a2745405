"""The HTML report in a real browser: offline, quiet, and fit to be read on a telephone, in the dark and on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.journal.base import Cause, OperationRecord, SessionRecord
from orchestrator.journal.details import Retried
from orchestrator.outcome import State
from orchestrator.status import Status
from orchestrator.views.document_html import document_html
from orchestrator.views.report_document import report_document
from tests.browser import Page, browser, chromium
from tests.unit.test_report_document import FELT, full
from tests.unit.test_report_text import step

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

LONG = "imap-backend-" + "x" * 200
HOSTILE = "</script><script>console.log(1)</script><img src='http://127.0.0.1:9/x'> <a href='javascript:alert(1)'>x</a>"
SESSIONS = [
    SessionRecord(1000, 2000, Status.INTERRUPTED, "Ctrl-C", f"jane on {LONG}, pid 7, orchestrator 1"),
    SessionRecord(9000, 12_000, Status.STOPPED, HOSTILE, "jane on mx1"),
]
COUNTS = {State.DONE: 1_234_567, State.FAILED: 3, State.IN_DOUBT: 1, State.PENDING: 4}

# elements whose text has less contrast to what is behind it than people need (WCAG 2: 4.5 to 1)
PALE = """
(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (e) => { const c = rgb(getComputedStyle(e).backgroundColor); return c[3] === 0 ? behind(e.parentElement) : c; };
  const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  return [...document.querySelectorAll('body *')].filter(own).filter((e) => {
    const ink = getComputedStyle(e)[e.ownerSVGElement ? 'fill' : 'color'];
    const [a, b] = [light(rgb(ink)), light(behind(e))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05) < 4.5;
  }).map((e) => e.tagName + ': ' + e.textContent);
})()
"""
OVER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOLDED = "[...document.querySelectorAll('details > :not(summary)')].map((e) => e.checkVisibility())"


def report_page(folder: Path) -> Path:
    """A report with all its sections, and with words that are long or hostile."""
    steps = [
        step(name=HOSTILE, state="failed", reason=LONG, operations=1_234_575, counts=COUNTS, finished=9500),
        step(number=1, key="2", name=LONG, started=9500, finished=12_000, state="running"),
    ]
    found = full(
        {
            "given": {LONG: LONG, "users": HOSTILE}, "sessions": SESSIONS, "steps": steps, "status": Status.STOPPED, "reason": LONG,
            "counts": COUNTS, "planned": 1_234_575, "next_words": ("resume", LONG), "retries": 1, "emergencies": [(1000, LONG)],
            "causes": [Cause("1", State.FAILED, HOSTILE, 3, "b1", LONG, tuple(f"{LONG}{number}" for number in range(20)))],
        },
        ends=[2000, 12_000],
        description=HOSTILE,
        felt=[FELT],
        retried=[Retried("1", LONG, 1, (LONG,))],
        doubtful=[OperationRecord("1.1", "1", LONG, "kick", {"mask": [LONG]}, State.IN_DOUBT, None, LONG, 1, None, 1, 2)],
    )  # fmt: skip
    path = folder / "report.html"
    path.write_text("".join(document_html(report_document(found, "orchestrator"))), encoding="utf-8")
    return path


async def test_a_report_in_a_browser(tmp_path: Path) -> None:
    """The file asks nobody for anything and the browser has nothing to complain about; it fits 360 pixels, and is legible."""
    chromium()
    path = report_page(tmp_path)
    async with browser(tmp_path) as page:
        await page.look_at(width=360)
        await page.open(path.as_uri())
        assert (page.requests, page.complaints) == ([path.as_uri(), "data:,"][: len(page.requests)], [])
        assert await page.ask("document.scripts.length + document.images.length + document.links.length") == 0
        assert not any(await page.ask(FOLDED))
        for width, media, dark in (
            (360, "", False),
            (360, "", True),
            (1200, "", False),
            (1200, "", True),
            (700, "print", True),
        ):
            await page.look_at(width=width, media=media, dark=dark)
            assert (await page.ask(OVER), await page.ask(PALE)) == (0, []), (width, media, dark)
        assert all(await page.ask(FOLDED))  # on paper all is open
        await nothing_gets_in(page)


async def nothing_gets_in(page: Page) -> None:
    """What would be put into the page all the same could neither run nor load: the page forbids it, and that is heard of."""
    before = len(page.complaints)
    await page.ask(
        "document.body.insertAdjacentHTML('beforeend', `<img src='http://127.0.0.1:9/x' onerror='document.title = 1'>`)"
    )
    await page.ask(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 2'}))"
    )
    assert str(await page.ask("document.title")).startswith("Report: ")
    assert all("Content Security Policy" in complaint for complaint in page.complaints[before:])
    assert len(page.complaints) > before
