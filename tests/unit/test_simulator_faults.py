"""Scripted trouble: its text form, and whom it strikes."""

from __future__ import annotations

import pytest

from orchestrator.simulator.faults import Rule, parse_faults, parse_rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("exit=75", Rule(action="exit", value=75)),
        ("host=b1,command=kick,rate=0.3,exit=75", Rule(action="exit", value=75, host="b1", command="kick", rate=0.3)),
        ("host=b*, exit=68, applied", Rule(action="exit", value=68, host="b*", applied=True)),
        ("exit=68,applied=true,seed=7", Rule(action="exit", value=68, applied=True, seed=7)),
        ("empty", Rule(action="empty", value=1)),
        ("empty=before", Rule(action="empty", value=1)),
        (
            "command=dictInc,first=2,empty=after",
            Rule(action="empty", value=1, command="dictInc", first=2, applied=True),
        ),
        ("after=3,reset=after", Rule(action="reset", value=1, after=3, applied=True)),
        ("hang", Rule(action="hang", value=1)),
        ("slow=0.5", Rule(action="slow", value=0.5, applied=True)),
        ("drip", Rule(action="drip", value=1, applied=True)),
        ("drip=0.01", Rule(action="drip", value=0.01, applied=True)),
        ("truncate", Rule(action="truncate", value=1, applied=True)),
        ("huge=2", Rule(action="huge", value=2, applied=True)),
        ("http=503", Rule(action="http", value=503)),
        ("http=429,retry_after=2", Rule(action="http", value=429, retry_after=2)),
        ("host=b3,refuse", Rule(action="refuse", value=1, host="b3")),
    ],
)
def test_rules_are_read(text: str, rule: Rule) -> None:
    """A compact line is a rule."""
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty part"),
        ("host=b1", "has no action"),
        ("host=b1,exit", "exit without a value"),
        ("exit=0", "from 1 to 255"),
        ("exit=x", "whole number"),
        ("http=42", "from 100 to 599"),
        ("exit=75,empty", "two actions, exit and empty"),
        ("host=b1,host=b2,hang", "says host twice"),
        ("rate=2,hang", "share from 0 to 1"),
        ("rate=x,hang", "no number"),
        ("slow=-1", "no number"),
        ("slow=inf", "no number"),
        ("first=-1,hang", "whole number"),
        ("bogus=1,hang", "'bogus', which is none of: host, command"),
        ("hang=sometimes", "hang takes no such value"),
        ("applied=maybe,exit=75", "true or false"),
    ],
)
def test_mistakes_are_named(text: str, complaint: str) -> None:
    """The message repeats the rule and says what is wrong with it."""
    with pytest.raises(ValueError, match=complaint) as caught:
        parse_rule(text)
    assert repr(text) in str(caught.value)


def test_first_fitting_rule_decides() -> None:
    """Rules are tried in order, by host and command."""
    faults = parse_faults(["host=b1,command=kick,exit=75", "host=b*,exit=68"])
    assert faults.strike("b1", "kick").value == 75
    assert faults.strike("b1", "who").value == 68
    assert faults.strike("d1", "kick") is None


def test_first_and_after_count_fitting_commands() -> None:
    """One passes, two are hit, the rest pass."""
    faults = parse_faults(["command=kick,after=1,first=2,hang"])
    struck = [faults.strike("b1", command) is not None for command in ["kick", "who", "kick", "kick", "kick"]]
    assert struck == [False, False, True, True, False]


def test_rate_is_a_share_and_repeatable() -> None:
    """The same seed strikes the same commands."""
    struck = [[faults.strike("b1", "who") is not None for _ in range(2000)] for faults in _twice("rate=0.3,hang")]
    assert struck[0] == struck[1]
    assert 500 < sum(struck[0]) < 700
    assert not any(parse_faults(["rate=0,hang"]).strike("b1", "who") for _ in range(100))


def _twice(text: str) -> list:
    return [parse_faults([text]), parse_faults([text])]


def test_refused_hosts_are_known_beforehand() -> None:
    """A closed port is no matter of single commands."""
    faults = parse_faults(["host=b3,refuse"])
    assert faults.refuses("b3")
    assert not faults.refuses("b1")
    assert faults.strike("b3", "who") is None
