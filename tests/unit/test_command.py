"""Parameters: what is refused before it is sent, and the text that is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dovecot import catalog
from orchestrator.dovecot.command import (
    ParameterError,
    checker,
    command_line,
    encode_parameters,
    problems_of_names,
    request_body,
)

CONTROLS = [chr(code) for code in (*range(32), 127)]


def parameters_of(command: str) -> Mapping[str, catalog.Parameter]:
    """The parameters of a command of the catalogue."""
    entry = catalog.find(command)
    assert entry is not None
    return entry.parameters


def checked(command: str, **values: Any) -> dict[str, Any]:
    """Values as they would be sent."""
    return checker(catalog.find(command), values)(values)


def test_names_are_given_and_no_path() -> None:
    """A list of users is its text; a path there would be one user of an odd name, and ok."""
    assert "and not the path of a file" in refused("purge", userFile="/tmp/users.txt")
    checked("purge", userFile="u1\nu2\n")
    checked("purge", userFile="/not/a/path\nu2")


def refused(command: str, **values: Any) -> str:
    """Why values are not sent."""
    with pytest.raises(ParameterError) as caught:
        checked(command, **values)
    assert caught.value.parameter in values
    return str(caught.value)


def test_no_parameter_takes_control_characters() -> None:
    """No parameter of any command lets a control character through; a file's content may have line ends and tabs."""
    for command in catalog.names():
        for name, spec in parameters_of(command).items():
            check = checker(catalog.find(command), {name: ""})
            for control in "\0" if spec.format == "file" else CONTROLS:
                for value in (f"a{control}b", f"a{control}", [f"{control}b"]):
                    with pytest.raises(ParameterError):
                        check({name: value})


def test_no_parameter_takes_nonsense() -> None:
    """Nothing, mappings, half characters and nested lists are refused everywhere."""
    for command in catalog.names():
        for name in parameters_of(command):
            for value in (None, {"a": 1}, "half \ud800", [None], [["a"]], object()):
                with pytest.raises(ParameterError):
                    checked(command, **{name: value})


@pytest.mark.parametrize("value", ["a\nb", "a\x7f", ["a\0"], None, {"a": 1}, [None], "\udfff"])
def test_a_command_that_is_not_known_is_made_safe_too(value: Any) -> None:
    """Without a catalogue entry, the same things are never sent."""
    with pytest.raises(ParameterError):
        checker(None, {"x": value})({"x": value})


@pytest.mark.parametrize("value", ["a", ["a", "b"], 5, True, "10", -1, ""])
def test_a_command_that_is_not_known_takes_plain_values(value: Any) -> None:
    """Without a catalogue entry, plain values go as they are."""
    assert checker(None, {"x": value})({"x": value}) == {"x": value}


@pytest.mark.parametrize(
    ("value", "sent"), [(True, True), (False, False), ("true", True), ("false", False), (0, False), (1, True)]
)
def test_booleans_are_sent_as_booleans(value: Any, sent: bool) -> None:
    """What means true or false is sent so, since a 2.3 host takes anything but true for false."""
    assert checked("who", separateConnections=value)["separateConnections"] is sent


@pytest.mark.parametrize("value", ["yes", "no", "True", "1", "0", "", 2, -1, 0.5, 1.0, [True], None])
def test_other_booleans_are_refused(value: Any) -> None:
    """Anything that a host would misread as a boolean is refused."""
    assert "must be true or false" in refused("who", separateConnections=value)


@pytest.mark.parametrize(("value", "sent"), [(5, 5), (-5, -5), ("5", 5), ("-5", -5), ("007", 7), (0, 0)])
def test_integers_are_sent_as_numbers(value: Any, sent: int) -> None:
    """A number, or the text of one, is sent as a number."""
    assert checked("logErrors", since=value)["since"] == sent


@pytest.mark.parametrize("value", ["x", "1.5", 1.5, "", True, "1_0", " 5", "5\n", [5], 10**19, -(10**19), "1" * 19])
def test_other_integers_are_refused(value: Any) -> None:
    """What is no whole number that a host can hold is refused."""
    assert "since" in refused("logErrors", since=value)


@pytest.mark.parametrize("value", ["10.0.0.234", "::1", "fe80::1", "b1", "mail-1.example.com", "b_1", "1a.example"])
def test_addresses_are_accepted(value: str) -> None:
    """IP addresses and host names are addresses."""
    assert checked("directorFlush", host=value)["host"] == value
    assert checked("directorUp", host=value)["host"] == value


def test_all_is_for_the_one_command_that_takes_it() -> None:
    """A director flushes all backends at once; every other command would look for a machine of this name."""
    assert checked("directorFlush", host="all") == {"host": "all"}
    for command in catalog.names():
        for name, spec in parameters_of(command).items():
            if spec.format == "address":
                assert "does not know 'all'" in refused(command, **{name: "all"})


@pytest.mark.parametrize(
    "value",
    [
        "",
        "5",
        "10.0.234",
        "10.0.0.256",
        "10.0.0.234.",
        "0x7f.1",
        "0x7f000001",
        "10.0.0.0/8",
        "a b",
        "-a",
        "b1:143",
        "b1/",
    ]
    + ["١٠.0.0.1", "1", 5, "10.0.0.1 ", ".", "b..1"],
)
def test_other_addresses_are_refused(value: Any) -> None:
    """What a host would complete to another address, such as "5" to 0.0.0.5, is refused."""
    assert "must be an IP address or a host name" in refused("directorUpdate", host=value, vhostCount="0")


@pytest.mark.parametrize(
    ("command", "values", "message"),
    [
        ("directorMove", {"user": "", "host": "b1"}, "user must not be empty"),
        ("kick", {"mask": []}, "mask must not be empty"),
        ("directorUpdate", {"host": "b1", "vhostCount": "-1"}, "must be a number from 0 to 1000"),
        ("directorUpdate", {"host": "b1", "vhostCount": "many"}, "must be a number from 0 to 1000"),
        ("directorUpdate", {"host": "b1", "vhostCount": ""}, "must be a number from 0 to 1000"),
        ("directorUpdate", {"host": "b1", "vhostCount": "٣"}, "must be a number from 0 to 1000"),
        ("directorUpdate", {"host": "b1", "vhostCount": 1.5}, "must be a number from 0 to 1000"),
        ("directorUpdate", {"host": "b1", "vhostCount": 1001}, "must be a number from 0 to 1000, not '1001'"),
        ("directorAdd", {"host": "b1", "vhostCount": "4294967396"}, "must be a number from 0 to 1000"),
        ("directorAdd", {"host": "b1", "vhostCount": "9" * 5000}, "must be a number from 0 to 1000"),
        ("directorRingAdd", {"ip": "10.0.0.1", "port": 0}, "port must be a number from 1 to 65535"),
        ("directorRingRemove", {"ip": "10.0.0.1", "port": "65536"}, "port must be a number from 1 to 65535"),
        ("directorMove", {"user": ["a"], "host": "b1"}, "must be text, not a list"),
        ("directorMap", {"hashMap": True}, "with hashMap: true, 'host' is needed too"),
        ("directorMap", {"userMap": "true"}, "with userMap: true, 'host' is needed too"),
        (
            "directorMap",
            {"hashMap": 1, "host": "jane"},
            "with hashMap: true, host must be a number from 0 to 4294967295",
        ),
        ("directorMap", {"hashMap": True, "host": "4294967296"}, "from 0 to 4294967295, not '4294967296'"),
    ],
)
def test_values_that_kill_or_misguide_a_host_are_refused(command: str, values: dict[str, Any], message: str) -> None:
    """Empty users and masks, and counts that are none, never leave this machine."""
    assert message in refused(command, **values)


@pytest.mark.parametrize(
    ("command", "values", "sent"),
    [
        ("kick", {"mask": "u1"}, {"mask": ["u1"]}),
        ("kick", {"mask": ("u1", "u2")}, {"mask": ["u1", "u2"]}),
        ("directorUpdate", {"host": "b1", "vhostCount": 0}, {"host": "b1", "vhostCount": "0"}),
        ("directorMove", {"user": 5, "host": "b1"}, {"user": "5", "host": "b1"}),
        ("directorMove", {"user": "jörg 😀", "host": "b1"}, {"user": "jörg 😀", "host": "b1"}),
        ("authCacheFlush", {"user": []}, {"user": []}),
        ("directorUpdate", {"host": "b1", "vhostCount": "1000"}, {"host": "b1", "vhostCount": "1000"}),
        ("directorMap", {"hashMap": True, "host": 5}, {"hashMap": True, "host": "5"}),
        ("directorMap", {"hashMap": False}, {"hashMap": False}),
    ],
)
def test_values_are_put_in_order(command: str, values: dict[str, Any], sent: dict[str, Any]) -> None:
    """A single text becomes a list, and a number a text, where the command takes such."""
    assert checked(command, **values) == sent


@pytest.mark.parametrize("value", ["***", "a***b"])
@pytest.mark.parametrize(
    ("command", "name"),
    [("kick", "mask"), ("who", "mask"), ("directorKick", "user"), ("proxyKick", "user"), ("mailboxStatus", "user")],
)
def test_what_was_redacted_is_no_pattern(command: str, name: str, value: str) -> None:
    """What stands for a redacted secret in an answer would match everybody; it is refused where names or patterns are sent."""
    entry = catalog.find(command)
    assert entry is not None
    with pytest.raises(ParameterError, match="stands for a secret"):
        checked(command, **{name: [value] if "array" in entry.parameters[name].types() else value})


def test_wrong_names_are_told_with_the_nearest() -> None:
    """Unknown and missing parameters are named."""
    entry = catalog.find("directorMove")
    assert entry is not None
    found = problems_of_names("directorMove", entry, {"usr"})
    assert [(error.parameter, error.suggestion) for error in found] == [("usr", "user"), ("user", ""), ("host", "")]


@given(
    st.dictionaries(st.sampled_from(["user", "mask", "x"]), st.integers() | st.text() | st.none() | st.lists(st.text()))
)
def test_what_is_checked_can_be_sent(values: dict[str, Any]) -> None:
    """Whatever the values, they are refused or they become JSON without control characters."""
    for command in ("directorKick", "kick", None):
        try:
            text = encode_parameters(checker(catalog.find(command) if command else None, values)(values))
        except ParameterError:
            continue
        body = request_body("kick", text, "1.1")
        assert json.loads(body)[0][2] == "1.1"
        assert not set(CONTROLS) & set(body.decode())


def test_a_request_is_one_command() -> None:
    """The payload is a list of one command with its parameters and tag, compact and in UTF-8."""
    text = encode_parameters({"mask": ["jörg"], "force": True})
    assert request_body("kick", text, "3.17") == '[["kick",{"mask":["jörg"],"force":true},"3.17"]]'.encode()


@pytest.mark.parametrize(
    ("command", "values", "line"),
    [
        ("kick", {"mask": ["u1"]}, "doveadm kick u1"),
        ("who", {"separateConnections": True, "mask": ["a b"]}, "doveadm who -1 'a b'"),
        ("who", {"separateConnections": False}, "doveadm who"),
        ("directorUpdate", {"vhostCount": "0", "host": "10.0.0.1"}, "doveadm director update 10.0.0.1 0"),
        ("directorFlush", {"host": "b1", "maxParallel": 5}, "doveadm director flush --max-parallel 5 b1"),
        ("directorMove", {"user": "{{ item }}", "host": "b1"}, "doveadm director move {{ item }} b1"),
        ("kick", {"mask": ["; rm -rf /"]}, "doveadm kick '; rm -rf /'"),
        ("copy", {"user": "a", "destinationMailbox": "X", "query": ["all"]}, "doveadm copy -u a X all"),
        (
            "copy",
            {"user": "a", "destinationMailbox": "X", "sourceUser": "b", "query": ["all"]},
            "doveadm copy -u a X user b all",
        ),
        (
            "move",
            {"user": "a", "sourceUser": "b", "sourceType": "user", "destinationMailbox": "X", "query": ["all"]},
            "doveadm move -u a X user b all",
        ),
        ("kick", {"mask": ["-x", "u1"]}, "doveadm kick -- -x u1"),  # seen on 2.3.19.1: else it is an invalid option
        ("who", {"separateConnections": True, "mask": ["-x"]}, "doveadm who -1 -- -x"),
    ],
)
def test_the_command_line_is_what_an_operator_would_type(command: str, values: dict[str, Any], line: str) -> None:
    """Plans show the doveadm command line of the same meaning, quoted for a shell."""
    assert command_line(command, catalog.find(command), values) == line


def test_a_command_without_a_command_line_shows_its_parameters() -> None:
    """A command that the catalogue does not know is shown with its parameters."""
    assert command_line("myCommand", None, {"a": "b c", "n": [1]}) == "myCommand 'a=b c' 'n=[1]'"


@pytest.mark.parametrize(
    ("command", "given", "message"),
    [
        ("kick", {"destHost"}, ""),
        ("kick", {"mask"}, ""),
        ("kick", {"mask", "destHost"}, ""),
        ("kick", set(), "kick needs the parameter 'mask' or 'destHost'"),
        ("kick", {"passdbField"}, "kick needs the parameter 'mask' or 'destHost'"),
        ("proxyKick", {"destHost"}, ""),
        ("proxyKick", set(), "proxyKick needs one of the parameters 'user', 'host', 'mask', 'destHost'"),
    ],
)
def test_one_parameter_may_stand_for_another(command: str, given: set[str], message: str) -> None:
    """Where Dovecot is content with one of several parameters, one is enough; without any the message names them all."""
    entry = catalog.find(command)
    assert entry is not None
    assert [str(found) for found in problems_of_names(command, entry, given)] == [message] * bool(message)
