"""Hosts, groups and selections of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.fleet.address import trouble
from orchestrator.fleet.inventory import Inventory, build_inventory, fold, meant, protect
from orchestrator.secret import SecretReference
from tests.strategies import config, fleet, host_names, inventories

RANGES = """
    defaults: {auth: {api_key: {env: KEY}}}
    groups:
      odd: {hosts: {"b[01-03,7]": "10.0.0.[1-3,7]"}}
      wide: {hosts: {"r[1-2]n[1-2]": "10.[1-2].0.[1-2]", x: "fe80::1", mx.example: mx.example}}
      listed: {hosts: [z1, z2]}
      mixed: {hosts: {b01: , z2: , d9: {address: d9.example, tags: [hot]}}}
"""


def names(inventory: Inventory, selection: str) -> str:
    """The hosts of a selection, in short."""
    return " ".join(host.name for host in inventory.select(selection))


def refused(text: str) -> list[str]:
    """The problems of a fleet."""
    with pytest.raises(InputError) as caught:
        build_inventory(config("defaults: {auth: {api_key: {env: KEY}}}\n" + text))
    return [str(problem) for problem in caught.value.problems]


def test_ranges_stand_for_many_hosts() -> None:
    """A range of names goes with a range of addresses, with leading zeros where they are written."""
    inventory = fleet(RANGES)
    assert {name: host.address for name, host in inventory.hosts.items()} == {
        "b01": "10.0.0.1", "b02": "10.0.0.2", "b03": "10.0.0.3", "b7": "10.0.0.7",
        "r1n1": "10.1.0.1", "r1n2": "10.1.0.2", "r2n1": "10.2.0.1", "r2n2": "10.2.0.2",
        "x": "fe80::1", "mx.example": "mx.example", "z1": "z1", "z2": "z2", "d9": "d9.example",
    }  # fmt: skip


def test_a_host_may_be_in_several_groups() -> None:
    """A name without an address is the host of another group, and knows both."""
    inventory = fleet(RANGES)
    assert inventory.hosts["b01"].groups == ("odd", "mixed")
    assert inventory.groups["mixed"] == ("b01", "z2", "d9")


def test_a_host_that_is_named_twice_is_one() -> None:
    """A group that names a host twice has it once."""
    text = "groups: {a: {hosts: {h1: 10.0.0.1}}, b: {hosts: {h1: , 'h[1-1]': }}}"
    inventory = fleet("defaults: {auth: {api_key: {env: KEY}}}\n" + text)
    assert inventory.groups["b"] == ("h1",)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("all", "d1 d2 b1 b2 b3 b9"),
        ("backends", "b1 b2 b3 b9"),
        ("b2", "b2"),
        ("b2,d1", "d1 b2"),
        ("b2:d1", "d1 b2"),
        ("b2,b2", "b2"),
        (" b2 , d1 ", "d1 b2"),
        ("b*", "b1 b2 b3 b9"),
        ("?1", "d1 b1"),
        ("b[1-3]", "b1 b2 b3"),
        ("b[1,3,9]", "b1 b3 b9"),
        ("b[1-2],d[1-2]", "d1 d2 b1 b2"),
        ("new", "b9"),
        ("backends:!b3", "b1 b2 b9"),
        ("backends,!b[1-2]", "b3 b9"),
        ("!backends", "d1 d2"),
        ("all:&new", "b9"),
        ("&backends:!new", "b1 b2 b3"),
        ("!b1:backends", "b2 b3 b9"),
        ("backends:&b*:!b2", "b1 b3 b9"),
        ("b1:!b1", ""),
    ],
)
def test_selections_are_read(selection: str, expected: str) -> None:
    """Terms add, `!` takes away, `&` keeps; the hosts come in inventory order, each once."""
    assert names(fleet(), selection) == expected


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("", "an empty selection names no host"),
        (" , ", "an empty selection names no host"),
        ("b4", "'b4' is not a host, group or tag"),
        ("backend", "did you mean 'backends'?"),
        ("b[1-4]", "'b4' is not a host, group or tag"),
        ("x*", "'x*' is not a host, group or tag"),
        ("backends:!b4", "'b4' is not a host, group or tag"),
        ("b[1-x]", "is not a range"),
        ("b[]", "is not a range"),
        ("b[3-1]", "is not a sensible range"),
        ("b[1-9999999]", "is not a sensible range"),
        ("B1", "did you mean 'b1'?"),
        ("!", "'' is not a host, group or tag"),
        ("10.0.1.1", "is not a host, group or tag"),
        ("10.0.1.1", "did you mean 'b1'?"),
        ("x9", "(hosts: d[1-2],b[1-3,9]; groups: directors, backends; tags: new)"),
    ],
)
def test_a_term_that_means_nothing_is_an_error(selection: str, message: str) -> None:
    """A name, pattern or range that matches no host is refused, never passed over."""
    with pytest.raises(InputError) as caught:
        fleet().select(selection)
    assert message in caught.value.message


def test_a_range_names_hosts_and_not_tags() -> None:
    """A range means the hosts of those names, even where a tag looks like one of them, and no host of that tag."""
    inventory = fleet("""
        defaults: {auth: {api_key: {env: KEY}}}
        groups: {g: {hosts: {b1: b1, b2: b2, c1: {address: c1, tags: [b1, t5]}}}}
    """)
    assert names(inventory, "b1") == "b1"
    assert names(inventory, "b[1-2]") == "b1 b2"
    assert names(inventory, "t5") == "c1"
    with pytest.raises(InputError, match="'t5' is not a host, group or tag"):
        inventory.select("t[5-5]")


@pytest.mark.parametrize(
    ("given_names", "shown"),
    [
        ("b1 b2 b3 b7 d1", "b[1-3,7],d1"),
        ("b01 b02 b10", "b[10,01-02]"),
        ("b1", "b1"),
        ("mx", "mx"),
        ("b1-mx b2-mx", "b[1-2]-mx"),
        ("b2 b1", "b[1-2]"),
        ("", ""),
    ],
)
def test_names_are_folded(given_names: str, shown: str) -> None:
    """Host names are shown in short."""
    assert fold(given_names.split()) == shown


@given(inventories(), st.data())
def test_folding_is_the_inverse_of_selecting(inventory: Inventory, data: st.DataObject) -> None:
    """For any hosts of any inventory, the folded names select just these hosts."""
    chosen = data.draw(st.lists(st.sampled_from(list(inventory.hosts)), min_size=1))
    assert {host.name for host in inventory.select(fold(chosen))} == set(chosen)


@given(inventories(), st.data())
def test_selections_are_sets(inventory: Inventory, data: st.DataObject) -> None:
    """Union, difference and intersection of selections are those of their hosts, in inventory order."""
    pick = st.lists(st.sampled_from(list(inventory.hosts)), min_size=1, max_size=4, unique=True)
    left, right = data.draw(pick), data.draw(pick)

    def chosen(*terms: str) -> list[str]:
        return [host.name for host in inventory.select(",".join(terms))]

    order = list(inventory.hosts)
    assert chosen(*left, *right) == [name for name in order if name in {*left, *right}]
    assert chosen(*left, *(f"!{name}" for name in right)) == [name for name in order if name in set(left) - set(right)]
    assert chosen(fold(left), f"&{fold(right[:1])}") == [name for name in order if name in left and name == right[0]]
    assert chosen("all", "!one") == [name for name in order if name not in inventory.groups["one"]]


@given(st.text("ab1[]-,:!&* .", max_size=16))
def test_any_selection_is_hosts_or_refused(selection: str) -> None:
    """Whatever the selection, it gives hosts or an InputError."""
    try:
        assert set(fleet().select(selection)) <= set(fleet().hosts.values())
    except InputError as error:
        assert str(error)


@given(host_names)
def test_a_host_selects_itself(name: str) -> None:
    """A host's own name is a selection of it alone."""
    inventory = fleet(f"defaults: {{auth: {{api_key: {{env: K}}}}}}\ngroups: {{g: {{hosts: {{'{name}': x, zz: y}}}}}}")
    assert names(inventory, name) == name


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("groups: {g: {hosts: {b1: a}}, h: {hosts: {b1: b}}}", ["config.yaml:2:43: the host 'b1' is defined twice"]),
        ("groups: {g: {hosts: {b1: a, 'b[1-2]': 'c[1-2]'}}}", ["the host 'b1' is defined twice"]),
        ("groups: {g: {hosts: {b1: }}}", ["the host 'b1' has no address anywhere"]),
        (
            "groups: {g: {hosts: {mail1: a}}, h: {hosts: {mial1: }}}",
            ["has no address anywhere (did you mean 'mail1'?)"],
        ),
        ("groups: {g: {hosts: {h: a}}, h: {hosts: {b2: b}}}", ["'h' is both a host and a group"]),
        ("groups: {g: {hosts: {all: a}}}", ["'all' cannot be a host's name"]),
        ("groups: {all: {hosts: {b1: a}}}", ["'all' cannot be a group's name"]),
        ("groups: {'a b': {hosts: {b1: a}}}", ["'a b' cannot be a group's name"]),
        ("groups: {g: {hosts: {'b!': a}}}", ["'b!' cannot be a host's name"]),
        ("groups: {g: {hosts: {'b1,b2': a}}}", ["'b1,b2' cannot be a host's name"]),
        ("groups: {g: {hosts: {b1: 'a b'}}}", ["'a b' is not an IP address or host name"]),
        ("groups: {g: {hosts: {b1: 'http://x/'}}}", ["is not an IP address or host name; give the host alone"]),
        (
            "groups: {g: {hosts: {b1: '127.0.0.1:8080'}}}",
            ["config.yaml:2:", "'127.0.0.1:8080' is an address with a port", "write {address: 127.0.0.1, port: 8080}"],
        ),
        ("groups: {g: {hosts: {b1: {address: 'mail.x:80'}}}}", ["write {address: mail.x, port: 80}"]),
        ("groups: {g: {hosts: {b1: '[::1]:80'}}}", ["write {address: ::1, port: 80}"]),
        ("groups: {g: {hosts: {b1: '[::1]'}}}", ["an IPv6 address stands without brackets: '::1'"]),
        ("groups: {g: {hosts: {'b[1-2]': '127.1.[1-2]'}}}", ["'127.1.1' is not an IP address", "'127.1.2' is not"]),
        ("groups: {g: {hosts: {b1: '256.0.0.1'}}}", ["an IPv4 address has four numbers from 0 to 255"]),
        ("groups: {g: {hosts: {b1: '127.0.0.01'}}}", ["'127.0.0.01' is not an IP address"]),
        ("groups: {g: {hosts: {b1: '0x7f000001'}}}", ["is not an IP address"]),
        ("groups: {g: {hosts: {b1: 'mail..org'}}}", ["is not an IP address or host name"]),
        ("groups: {g: {hosts: {b1: '-mail.org'}}}", ["is not an IP address or host name"]),
        ("groups: {g: {hosts: {b1: '1::2::3'}}}", ["is not an IP address or host name"]),
        ("groups: {g: {hosts: {'b[1-3]': '10.0.0.[1-2]'}}}", ["3 names but 2 addresses"]),
        ("groups: {g: {hosts: {'b[1-3]': 10.0.0.1}}}", ["3 names but 1 addresses"]),
        ("groups: {g: {hosts: {'b[3-1]': x}}}", ["is not a sensible range"]),
        ("groups: {g: {hosts: {'b[a-c]': x}}}", ["is not a range"]),
        ("groups: {g: {hosts: {'b[1-400][1-400]': x}}}", ["is not a sensible range"]),
        ("groups: {g: {hosts: {b1: a}}}\nprotect: [b2]", ["'b2' is not a host, group or tag"]),
        ("groups: {g: {hosts: [b1, b1]}}", ["twice"]),
        ("groups: {g: {hosts: [b1, 5]}}", ["config.yaml"]),
        ("groups: {g: {hosts: [{b1: 10.0.0.1}, {b2: 10.0.0.2}]}}", ["config.yaml"]),
        ("groups: {g: {hosts: {b1: a, b2: }}, h: {hosts: {'b!': a}}}", ["no address", "cannot be a host's name"]),
    ],
)
def test_a_wrong_fleet_is_refused(text: str, messages: list[str]) -> None:
    """Hosts that are defined twice, nowhere or under an impossible name are refused; nothing is left out silently."""
    shown = "\n".join(refused(text))
    assert all(message in shown for message in messages), shown


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "fe80::1%eth0",
        "mail",
        "mail-1.example.org",
        "mail.example.org.",
        "b_1",
        "1.example",
        "xn--bcher-kva.example",
    ],
)
def test_addresses_and_names_are_accepted(address: str) -> None:
    """IP addresses of both kinds, with a zone too, and host names, with an underscore or a dot at the end too."""
    assert trouble(address) == ""


def test_a_host_without_authentication_is_refused() -> None:
    """Each host needs a way to authenticate."""
    with pytest.raises(InputError, match="no authentication for the host 'b1'"):
        fleet("groups: {g: {hosts: {b1: a}}}")


def test_protected_hosts_are_marked() -> None:
    """`protect` takes selections, and marks the hosts that they name."""
    assert [host.name for host in fleet().hosts.values() if host.protected] == ["b9"]
    inventory = fleet("""
        defaults: {auth: {api_key: {env: KEY}}}
        groups: {g: {hosts: {"b[1-4]": "c[1-4]"}}}
        protect: ["g:!b[2-3]", b2]
    """)
    assert [host.name for host in inventory.hosts.values() if host.protected] == ["b1", "b2", "b4"]


LAYERS = """
    defaults: {scheme: https, port: 1111, auth: {password: {env: A}}, timeout: {connect: 1s, request: 2s}, limits: {per_host: 2}}
    groups:
      g:
        hosts:
          plain: p
          own: {address: o, port: 3333, auth: {api_key: {env: C}}, limits: {per_host: auto}, tls: {verify: false}, timeout: {request: 9s}}
        defaults: {port: 2222, auth: {api_key: {env: B}}, tls: {server_name: s}, timeout: {connect: 7s}}
      other: {hosts: {far: f}}
"""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (
            "far",
            {"port": 1111, "scheme_of_auth": "password", "secret": SecretReference("env", "A"), "connect_timeout": 1.0},
        ),
        (
            "plain",
            {"port": 2222, "scheme_of_auth": "api_key", "secret": SecretReference("env", "B"), "scheme": "https"},
        ),
        ("plain", {"connect_timeout": 7.0, "request_timeout": 2.0}),
        ("own", {"port": 3333, "secret": SecretReference("env", "C"), "connect_timeout": 7.0, "request_timeout": 9.0}),
    ],
)
def test_the_nearest_setting_decides(host: str, expected: dict[str, Any]) -> None:
    """A host's own settings go before its group's, and these before the defaults, each by itself."""
    endpoint = fleet(LAYERS).hosts[host].endpoint
    assert {name: getattr(endpoint, name) for name in expected} == expected


def test_limits_and_tls_are_layered_too() -> None:
    """The limit of a host and its TLS settings come from the nearest layer that has them."""
    hosts = fleet(LAYERS).hosts
    assert [hosts[name].per_host for name in ("far", "plain", "own")] == [2, 2, "auto"]
    assert [hosts[name].endpoint.tls.verify for name in ("far", "plain", "own")] == [True, True, False]
    assert hosts["plain"].endpoint.tls.server_name == "s"


def test_a_stock_host_needs_little() -> None:
    """Without settings, hosts are reached by https on port 8080, with five seconds to connect."""
    host = fleet("defaults: {auth: {api_key: {env: K}}}\ngroups: {g: {hosts: {b1: 'fe80::1'}}}").hosts["b1"]
    assert host.endpoint.url == "https://[fe80::1]:8080/doveadm/v1"
    assert (host.endpoint.connect_timeout, host.endpoint.request_timeout, host.per_host) == (5.0, 60.0, None)


def test_hosts_are_found_by_address() -> None:
    """Dovecot names hosts by address; the inventory knows whose it is."""
    found = fleet().by_address("10.0.1.2")
    assert found is not None
    assert (found.name, fleet().by_address("10.9.9.9")) == ("b2", None)


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ("b1", "b1"),
        ("backends", "b1 b2 b3 b9"),
        ("10.0.1.2", "b2"),
        (" 10.0.1.2 ", "b2"),
        ("10.0.1.2,d1", "b2 d1"),
        ("nowhere", ""),
        ("nowhere,b1", "b1"),
        ("b1,!nowhere", "b1"),
        ("all:!b1", "b2 b3 b9 d1 d2"),
        ("nowhere,all:!b1", "b1 b2 b3 b9 d1 d2"),
        ("10.9.9.9", ""),
    ],
)
def test_what_a_policy_means_in_a_fleet(selection: str, names: str) -> None:
    """It was written for more fleets than one: what is not here means nothing, and takes nothing away from the rest."""
    assert " ".join(sorted(meant(fleet(), selection))) == names


def test_the_policy_protects_besides_the_configuration() -> None:
    """What either of them protects is protected, and says by whom."""
    found = protect(fleet(), ["10.0.1.1", "b9"]).hosts
    assert {name: host.protected_by for name, host in found.items() if host.protected} == {
        "b1": "policy",
        "b9": "configuration",
    }


def test_the_most_specific_capacity_wins() -> None:
    """A host's goes before its group's, and that before the defaults'; nobody need say one."""
    text = """
        defaults: {auth: {api_key: {env: KEY}}}
        groups:
          a: {defaults: {capacity: 500}, hosts: {a1: 10.0.0.1, a2: {address: 10.0.0.2, capacity: 20}}}
          b: {hosts: {b1: 10.0.0.3}}
        protect: [a1]
    """
    assert [host.capacity for host in fleet(text).hosts.values()] == [500, 20, None]
    with pytest.raises(InputError, match="capacity"):
        fleet(text.replace("capacity: 20", "capacity: 0"))
