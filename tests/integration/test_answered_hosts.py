"""What a host answers names hosts one by one; it is never read as a selection."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.conftest import Site

ASK = """
name: Go where the answer says
steps:
  - {name: Write, hosts: b1, command: dictSet, parameters: {dictUri: "file:/x", key: shared/where, value: "VALUE"}}
  - {name: Ask, hosts: b1, command: dictGet, parameters: {dictUri: "file:/x", key: shared/where}, register: seen}
"""

GO = {
    "answer": """  - name: Go there
    hosts: "{{ (seen.rows | first).value }}"
    command: kick
    parameters: {mask: [jane]}
""",
    "list": """  - name: Go there
    hosts: "{{ seen.rows | column('value') }}"
    command: kick
    parameters: {mask: [jane]}
""",
    "item": """  - name: Go there
    for_each: "{{ seen.rows }}"
    hosts: "{{ item.value }}"
    command: kick
    parameters: {mask: [jane]}
""",
}


@pytest.mark.parametrize("how", GO)
@pytest.mark.parametrize("value", ["all", "*", "b1,b2", "backends", "b[1-2]", "!b1"])
def test_an_answer_is_no_selection(site: Callable[..., Site], value: str, how: str) -> None:
    """A host that answers `all` where another host's address belongs: the step is refused, and nothing is sent."""
    here = site(users=0, directors=0, backends=3)
    result = here.cli("run", here.cli.playbook(ASK.replace("VALUE", value) + GO[how]), "--yes")
    assert result.code == 5, result.said
    assert f"no host is called {value!r} or has that address" in result.said
    assert "kick" not in here.commands()


@pytest.mark.parametrize("how", GO)
@pytest.mark.parametrize("address", [False, True], ids=["name", "address"])
def test_an_answer_names_a_host(site: Callable[..., Site], how: str, *, address: bool) -> None:
    """A host's name and its address both do, and that host alone is sent the command."""
    here = site(users=0, directors=0, backends=3)
    value = here.fleet.backends["b2"] if address else "b2"
    result = here.cli("run", here.cli.playbook(ASK.replace("VALUE", value) + GO[how]), "--yes")
    assert result.code == 0, result.said
    assert [request.host for request in here.fleet.requests if request.command == "kick"] == ["b2"]
