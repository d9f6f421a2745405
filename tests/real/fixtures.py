"""Fixtures with a real Dovecot 2.4, and what is told at the end of the versions that were met.

Without root, or where nobody asks for them, the tests that want a 2.4 server are skipped; with
ORCHESTRATOR_REQUIRE_DOVECOT=1 they fail instead. There are two exceptions, and the summary tells of both: where a suite
that moves cannot be installed its tests are skipped, and with a version that is not known here yet they fail nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest

from tests.real.roots import SUITES, Suite, summary, unavailable, wanted
from tests.real.server24 import Fleet24, start_fleet
from tests.ring import RingError
from tests.ring.fixtures import REQUIRE


def on(suite: Suite) -> list[pytest.MarkDecorator]:
    """The marks of a test that wants a server of this suite; the first one waits until its root is made."""
    return [pytest.mark.dovecot24(suite.name), pytest.mark.timeout(2400)]


EACH = [pytest.param(suite, id=suite.name, marks=on(suite)) for suite in SUITES]
"""The suites, as parameters."""


@pytest.fixture(scope="session")
def dovecot24_factory() -> Iterator[Callable[..., Fleet24]]:
    """`start_fleet` for tests; what a test does not close is closed in the end."""
    with contextlib.ExitStack() as fleets:

        def factory(suite: Suite, **options: object) -> Fleet24:
            if reason := unavailable():
                if os.environ.get(REQUIRE) == "1":
                    pytest.fail(f"{REQUIRE} is set, but {reason}")
                pytest.skip(reason)
            try:
                return fleets.enter_context(start_fleet(suite, **options))  # type: ignore[arg-type]
            except RingError as error:
                if (suite.moves and not suite.version) or (suite.version and not suite.known):
                    pytest.skip(str(error))
                raise

        yield factory


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a version that is not known yet does differently is told, and fails nothing."""
    mark = item.get_closest_marker("dovecot24")
    suites = [suite for suite in SUITES if mark and suite.name in mark.args]
    for suite in suites:
        if suite.version and not suite.known:
            item.add_marker(pytest.mark.xfail(reason=f"Dovecot {suite.version} is not known here yet", strict=False))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which versions of 2.4 the tests met, and what an unknown one does differently."""
    if not wanted():
        return
    terminalreporter.section("Dovecot 2.4")
    for line in summary():
        terminalreporter.line(line)
    for report in terminalreporter.stats.get("xfailed", []):
        if "dovecot24" in report.keywords:
            terminalreporter.line(f"  differs: {report.nodeid}")
