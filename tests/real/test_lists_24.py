"""What real hosts of 2.4 list is what the catalogue was held to."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.contract.exchange import PATH, basic, exchange, request
from tests.real.fixtures import EACH
from tests.real.roots import LISTS, Suite
from tests.real.server24 import Fleet24


@pytest.mark.parametrize("suite", EACH)
def test_hosts_list_what_the_catalogue_knows(suite: Suite, dovecot24_factory: Callable[..., Fleet24]) -> None:
    """A backend with quota, acl and fts, and a proxy without plugins, list what tests/data has of their version."""
    with dovecot24_factory(suite, proxies=2, backends=1, users=1) as fleet:
        for host, role in (("b1", "backend"), ("p2", "proxy")):
            asked = request(fleet.hosts[host], method="GET", path=PATH, authorization=basic(fleet.password))
            listed = json.loads(exchange(fleet.hosts[host], fleet.port, asked).body)
            assert listed == json.loads((LISTS / f"catalog-{fleet.version}-{role}.json").read_text()), role
