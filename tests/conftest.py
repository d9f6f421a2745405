"""Settings of the property tests: the same examples on every run, and no clock. What takes longest begins first."""

import pytest
from hypothesis import settings

settings.register_profile("suite", derandomize=True, deadline=None, database=None, max_examples=40)
settings.load_profile("suite")

LONG = (
    "tests/simulation/",
    "tests/crash/",
    "tests/integration/test_hostile",
    "tests/playbooks/",
    "tests/integration/",
    "tests/real/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A worker that gets a long file last has all others wait for it."""
    order = {place: number for number, place in enumerate(LONG)}
    items.sort(
        key=lambda item: min((number for place, number in order.items() if item.nodeid.startswith(place)), default=99)
    )


@pytest.fixture
def anyio_backend() -> str:
    """What asynchronous tests run in."""
    return "asyncio"
