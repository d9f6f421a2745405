"""What a list's line means as a name and as a mask."""

from __future__ import annotations

import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.text.names import NoNameError, is_network, is_plain, mask_meaning, user_name

# How doveadm who of 2.3.19 reads a mask, by giving it a second one: it refuses two user patterns, and two networks.
MASKS = {
    "10.1.2.3": True, "0x1f": True, "1234": False, "100234": False, "127.1": True, "10.0.0.0/8": True, "10.1.2": True, "1.2.3.4/33": False,
    "::1": True, "fe80::/10": True, "[::1]": True, "a/8": False, "user/8": False, "12/8": True, "1234/8": True, "017": False, "0x": False,
    "1.2.3.4.5": False, "256.1.1.1": False, "*": False, "10.1.2.3x": False, "10.1.2.3 x": True, "10.1.2.3,10.1.2.4": False, "face": False,
    "4294967296": False, "0x1fg": False, "dead:beef": False, "1:2": False, "::ffff:1.2.3.4": True, "127.0x1": True, "08": False,
    "1.08": False, "a:b": False, "fe80::1%lo": False, "localhost": False, "10.0.0.0/": False, "10.0.0.*": False,
}  # fmt: skip


@pytest.mark.parametrize(("mask", "network"), MASKS.items())
def test_a_mask_is_read_as_dovecot_reads_it(mask: str, network: bool) -> None:
    """What Dovecot takes for an address or a network is called so, and nothing else."""
    assert is_network(mask) is network


@given(st.from_regex(r"(0x)?[0-9a-f]{1,4}(\.(0x)?[0-9a-f]{1,10}){1,3}", fullmatch=True))
@example("1.2.3.4.0")
@example("1..2")
@example("1.")
@example("1.16777215")
@example("1.16777216")
def test_every_notation_of_an_address_is_known(text: str) -> None:
    """What the system reads as an IPv4 address, in whatever notation, is an address here."""
    try:
        socket.inet_aton(text)
    except OSError:
        assert not is_network(text)
    else:
        assert is_network(text)


@pytest.mark.parametrize("text", ["\u0661\u0662\u0667.1", "\uff11\uff12\uff17.1", "1.\u00b2"])
def test_digits_of_other_scripts_make_no_address(text: str) -> None:
    """Only digits that C knows are an address's."""
    assert not is_network(text)


@pytest.mark.parametrize(
    ("text", "network"), [("::/128", True), ("::/129", False), ("0.0.0.0/32", True), ("0.0.0.0/33", False)]
)
def test_a_network_has_no_more_bits_than_an_address(text: str, network: bool) -> None:
    """128 bits of an IPv6 address and 32 of an IPv4 one are all there are."""
    assert is_network(text) is network


@given(st.from_regex(r"[a-z0-9._@+%~/-]{1,20}", fullmatch=True))
def test_a_plain_name_means_one_user(text: str) -> None:
    """A name that needs no further look is no pattern and no address, and is taken as it stands."""
    if is_plain(text):
        assert not mask_meaning(text)
        assert user_name(text) == text


@given(st.text(max_size=30).map(str.strip).filter(bool))
def test_a_line_is_a_name_or_is_refused(text: str) -> None:
    """Any text is a name or is refused, and every accepted name can be written in quotes."""
    try:
        name = user_name(text)
    except NoNameError:
        return
    quote = "'" if '"' in name else '"'
    assert user_name(f"{quote}{name}{quote}") == name or quote in name


@pytest.mark.parametrize(
    "word",
    ["user", "users", "username", "usernames", "user_name", "userid", "user id", "login", "email", "e-mail", "User"],
)
def test_a_header_is_told_from_a_name(word: str) -> None:
    """What tables call a column of users is no name in the first line, but for one in quotes."""
    with pytest.raises(NoNameError):
        user_name(word, first=True)
    assert user_name(f'"{word}"', first=True) == word


def test_a_header_further_down_is_a_name() -> None:
    """Somebody may be called so."""
    assert user_name("login") == "login"
