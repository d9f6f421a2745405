"""Approvals: who counts, until when, and what a plan rests on."""

from __future__ import annotations

import json

import pytest

from orchestrator.approval import Approval, changed, count, loosened, signing_command, too_old
from orchestrator.limits import Limits
from orchestrator.policy import ApprovalTerms


def terms(**said: object) -> ApprovalTerms:
    """What a policy wants."""
    return ApprovalTerms.model_validate({"signers": "/s", **said})


def by(*people: str, key: str = "") -> Approval:
    """An approval by somebody."""
    return Approval(people, key or f"SHA256:{people[0]}", "")


@pytest.mark.parametrize(
    ("needed", "approvals", "counted", "lacking"),
    [
        (1, [], [], "approved by 0 of 1"),
        (1, [by("bob")], ["bob"], ""),
        (1, [by("bob"), by("carol")], ["bob", "carol"], ""),
        (2, [by("bob")], ["bob"], "approved by 1 of 2 (bob)"),
        (2, [by("bob"), by("bob", key="SHA256:other")], ["bob"], "approved by 1 of 2 (bob)"),
        (2, [by("bob"), by("BOB@example.com", key="SHA256:other")], ["bob"], "approved by 1 of 2 (bob)"),
        (2, [by("bob", key="SHA256:k"), by("carol", key="SHA256:k")], ["bob"], "approved by 1 of 2 (bob)"),
        (2, [by("b.jones@example.com", "bob"), by("bob", key="SHA256:k")], ["b.jones@example.com"], "1 of 2"),
        (1, [by("alice")], [], "alice made the plan, and does not approve it (not_by_author)"),
        (1, [by("Alice@example.com")], [], "Alice@example.com made the plan"),
        (1, [by("a.smith@example.com", "alice")], [], "a.smith@example.com made the plan"),
        (1, [by("root@x")], [], "root@x made the plan"),
        (1, [by("alice"), by("bob")], ["bob"], ""),
    ],
)
def test_who_counts(needed: int, approvals: list[Approval], counted: list[str], lacking: str) -> None:
    """Each person once, whatever keys and names there are, and not whoever made the plan."""
    found, words = count(terms(needed=needed), approvals, ["alice@mx1", "root@mx1"])
    assert [one.people[0] for one in found] == counted
    assert lacking in words
    assert bool(words) is bool(lacking)


def test_an_author_may_approve_where_the_policy_allows_it() -> None:
    """`not_by_author: false`, for those who are alone."""
    assert count(terms(not_by_author=False), [by("alice")], ["alice@mx1"])[1] == ""


def test_how_long_a_plan_can_be_started() -> None:
    """From when it was made; one from the future is the fault of a clock."""
    fortnight = terms()
    assert too_old(fortnight, 14 * 86_400) == ""
    assert (
        too_old(fortnight, 15 * 86_400) == "the plan was made 15 days ago; it could be started for 14 days (valid_for)"
    )
    assert "it could be started for 1h" in too_old(terms(valid_for="1h"), 3601)
    assert too_old(fortnight, -299) == ""
    assert "look at the clocks" in too_old(fortnight, -301)


def state(**other: object) -> dict[str, str]:
    """What a plan keeps of policy, configuration and program."""
    policy = {
        "approvals": {"needed": 1, "signers_sha256": other.get("signers", "1")},
        "protect": other.get("protect", []),
    }
    return {
        "policy": json.dumps(policy) if other.get("policy", True) else "null",
        "settings": json.dumps({"limits": other.get("limits", {}), "retry": {}, "per_host": {}}),
        "version": str(other.get("version", "1.0")),
    }


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({}, ""),
        ({"signers": "2"}, "/s has changed since the plan was made"),
        ({"protect": ["b1"]}, "the policy has changed since the plan was made"),
        ({"protect": ["b1"], "signers": "2"}, "the policy has changed since the plan was made"),
        ({"policy": False}, "the policy has changed since the plan was made"),
        ({"limits": {"rate": 5}}, "the configuration has changed since the plan was made: limits"),
        ({"version": "1.1"}, "the plan was made with version 1.0, and this is version 1.1"),
    ],
)
def test_what_a_plan_rests_on(other: dict[str, object], words: str) -> None:
    """Each change has its sentence, whichever of the two is the newer."""
    assert changed(state(), state(**other), "/s") == words
    if "version" not in other:
        assert changed(state(**other), state(), "/s") == words


def test_limits_may_be_lowered() -> None:
    """The command line may want less than the plan has, and not more; where the plan has no rate, any rate is less."""
    limits = Limits(in_flight=100, rate=5.0)
    assert loosened(limits, 100, 5.0) == loosened(limits, 1, 0.5) == loosened(limits, None, None) == ""
    assert loosened(limits, 101, None) == "--in-flight 101 allows more than the 100 of the plan"
    assert loosened(limits, None, 5.5) == "--rate 5.5 allows more than the 5 of the plan"
    assert loosened(Limits(in_flight=100), None, 1000.0) == ""


def test_what_an_approver_types() -> None:
    """One line for a shell, whatever the plan is called."""
    assert signing_command("b1.plan") == (
        "orchestrator show b1.plan --manifest | ssh-keygen -Y sign -n orchestrator-plan -f ~/.ssh/id_ed25519 > b1.plan.$USER.sig"
    )
    assert signing_command("my plan", "orchestrator -c x").startswith("orchestrator -c x show 'my plan' --manifest | ")
    assert signing_command("my plan").endswith(" > 'my plan'.$USER.sig")


def test_an_approval_is_kept_as_it_was() -> None:
    """There and back."""
    approval = Approval(("bob", "bob@example.com"), "SHA256:x", "-----BEGIN SSH SIGNATURE-----\n", 5)
    assert Approval.from_json(approval.to_json(), 5) == approval
