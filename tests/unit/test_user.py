"""Who runs the program: all the names by which that person is known."""

from __future__ import annotations

import os
import pwd

import pytest

from orchestrator.user import logins
from tests.stranger import needs_root, stranger_says


def test_who_typed_sudo_is_the_author(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name that sudo gives comes before the account's, which counts as well; nobody is named twice."""
    account = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert logins()[-1] == account
    monkeypatch.setenv("SUDO_USER", "alice")
    assert logins()[-2:] == ("alice", account)
    monkeypatch.setenv("SUDO_USER", account)
    assert logins().count(account) == 1


def test_what_is_exported_takes_no_name_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """LOGNAME and USER are believed by nobody."""
    before = logins()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    assert logins() == before


@needs_root
def test_a_user_without_a_name() -> None:
    """In a container the system knows a number alone."""
    assert (
        stranger_says("from orchestrator.user import logins; print(*logins(), sep=';')").split(";")[-1] == "uid 41234"
    )
