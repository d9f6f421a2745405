"""Pytest fixtures with a real ring: `pytest_plugins = ["tests.ring.fixtures"]` brings them.

Without root or Dovecot 2.3 the tests that want a ring are skipped; with ORCHESTRATOR_REQUIRE_DOVECOT=1 in the
environment they fail instead, so that a build that promises them cannot pass without.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest

from tests.ring.ring import Ring, start_ring, unavailable

REQUIRE = "ORCHESTRATOR_REQUIRE_DOVECOT"


@pytest.fixture(scope="session")
def dovecot_ring_factory() -> Iterator[Callable[..., Ring]]:
    """`start_ring` for tests that need a ring of their own; what a test does not close is closed in the end."""
    reason = unavailable()
    if reason and os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{REQUIRE} is set, but {reason}")
    if reason:
        pytest.skip(reason)
    with contextlib.ExitStack() as rings:

        def factory(**options: object) -> Ring:
            return rings.enter_context(start_ring(**options))  # type: ignore[arg-type]

        yield factory


@pytest.fixture(scope="session")
def ring(dovecot_ring_factory: Callable[..., Ring]) -> Ring:
    """The ring all tests of this process share; for tests that only look at it."""
    return dovecot_ring_factory()


@pytest.fixture
def changed_ring(ring: Ring) -> Iterator[Ring]:
    """The same ring for a test that changes it: afterwards it is reset."""
    yield ring
    ring.reset()
