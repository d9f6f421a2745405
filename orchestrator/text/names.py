"""What stands on the lines of a list of users: a name, or what people have in such lists by mistake.

Where the meaning is certain it is taken (quotes around a name); where it is not, it is refused with what to do. A name that is
written in quotes is taken as it stands, so that every name can be written.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata

# Control characters, what has no width, and what changes the direction of the text. A tab is told apart: it divides columns.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_JOINERS = frozenset("\u200c\u200d" + "".join(map(chr, range(0xFE00, 0xFE10))))
_LOST = "\ufffd"
_ODD_BLANK = re.compile(r"[^\S \t]")
_PLAIN = re.compile(r"(?:[A-Za-z_][A-Za-z0-9._@+%~/-]{0,254}|[0-9]{1,255})\Z")
_HEADERS = {"user", "users", "username", "usernames", "user_name", "userid", "user id", "login", "email", "e-mail"}
_RULE = re.compile(r"(?=.{3})[-+|=]+\Z|\(\d+ rows?(?: affected)?\)\Z|\|")
_WHO = re.compile(r"username\s+(?:#|service|proto|pid)|\S+(?: \S+)?\s+\d+\s+\S+\s+\([\d ]*\)\s*\(")
_MAP = re.compile(r"user\s+(?:mail server ip|hash)\b|\S+\s+[0-9a-f.:]+\s+\d{4}-\d\d-\d\d ")
_FLOW = re.compile(r"user(?:name)?=")
_QUOTED_COLUMNS = re.compile(r"[\"']\s*[,;:\t|]")
_TYPOGRAPHIC = "\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb"
_SHOWN = 40  # characters of a line in a message


class NoNameError(ValueError):
    """A line that is no user name; says what it seems to be and what to do.

    Attributes:
        offset: where in the text, from 0.
    """

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


def unseen(text: str, *, prose: bool = False) -> tuple[int, str] | None:
    """The first character that a reader cannot see, with its place and name; None where all can be seen.

    Args:
        text: the text.
        prose: whether joiners and variation selectors are left alone where scripts and emoji need them, as mailboxes' names may.
    """
    for found in _UNSEEN.finditer(text):
        at = found.start()
        if not (prose and found[0] in _JOINERS and at and not text[at - 1].isascii()):
            return at, character(found[0])
    return None


def character(char: str) -> str:
    """How messages call a character: U+200B ZERO WIDTH SPACE."""
    return f"U+{ord(char):04X} {unicodedata.name(char, 'CONTROL CHARACTER')}"


is_plain = _PLAIN.match
"""Whether a line is a name of the common kind, of which nothing else needs to be looked at, but the first line's."""


def user_name(text: str, *, first: bool = False, masks: bool = False) -> str:
    """The user name on a line, without blanks around it and without quotes.

    Args:
        text: the line, not blank and no comment.
        first: whether it is the first line, where a header would stand.
        masks: whether patterns and addresses are wanted too.

    Raises:
        NoNameError: it is something else, or cannot be told from something else.
    """
    if is_plain(text):
        if first and text.lower() in _HEADERS:
            raise _header(text)
        return text
    _all_seen(text)
    name, quoted = _unquoted(text)
    if not name:
        raise NoNameError("an empty name in quotes")
    if not quoted:
        if first and name.lower() in _HEADERS:
            raise _header(name)
        if words := _output(name) or _columns(name, masks=masks):
            raise NoNameError(words)
    if not masks and (words := mask_meaning(name)):
        raise NoNameError(f"{shown(name)} is {words}; this list takes the names of users only")
    return name


def mask_meaning(text: str, *, addresses: bool = True) -> str:
    """What a mask means when it is more than one user's name; empty for a name.

    Args:
        text: the mask.
        addresses: whether addresses have a meaning too, as in masks of sessions.
    """
    if text.strip("*") == "" and text:
        return "a pattern: every user"
    if "*" in text or "?" in text:
        return "a pattern: every user that matches it (a ? may be a letter that a conversion lost)"
    if addresses and is_network(text):
        return "an address: everybody who is connected from it, and not a user of that name"
    return ""


def is_network(text: str) -> bool:
    """Whether Dovecot takes a mask for an IP address or a network: `10.1.2.3`, `10.0.0.0/8`, `127.1`, `0x1f`, `::1`.

    As seen with `doveadm who` of 2.3.19: digits alone are a name, and what follows an IPv4 address after a blank is ignored.
    """
    if text.isdigit():
        return False
    address, slash, bits = text.partition("/")
    if slash and not (bits.isascii() and bits.isdigit()):
        return False
    if ":" in address:
        return _is_ipv6(address.removeprefix("[").removesuffix("]")) and (not slash or int(bits) <= 128)
    return _is_ipv4(address.partition(" ")[0]) and (not slash or int(bits) <= 32)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text  # Dovecot takes no zone


def _is_ipv4(text: str) -> bool:
    """One to four numbers, decimal, octal or hexadecimal, of which the last fills the rest, as inet_aton reads them."""
    parts = text.split(".")
    numbers = [_number(part) for part in parts]
    return len(parts) <= 4 and all(0 <= number < 256 for number in numbers[:-1]) and _fits(numbers[-1], len(parts))


def _fits(number: int, parts: int) -> bool:
    return bool(0 <= number < 256 ** (5 - parts))


def _number(text: str) -> int:
    """A number in C's notation; -1 where it is none."""
    if not text.isascii() or not text.isalnum() or len(text) > 20:
        return -1
    base = 16 if text[:2].lower() == "0x" else 8 if text[0] == "0" else 10
    try:
        return int(text, base)
    except ValueError:
        return -1


def shown(text: str) -> str:
    """A short text in quotes for a message, with what cannot be seen written out."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _header(name: str) -> NoNameError:
    return NoNameError(f'this looks like a header line; delete it (if that is a user name, put it in quotes: "{name}")')


def _all_seen(text: str) -> None:
    if found := unseen(text):
        raise NoNameError(f"{found[1]}, which cannot be seen; delete it", found[0])
    if _LOST in text:
        raise NoNameError(
            "a character was lost when this was converted (U+FFFD); get the list again", text.index(_LOST)
        )
    if odd := _ODD_BLANK.search(text):
        raise NoNameError(f"{character(odd[0])} within the line, which looks like a blank", odd.start())


def _unquoted(text: str) -> tuple[str, bool]:
    """A text without the quotes around it, and whether there were any."""
    quote, rest = text[0], text[1:]
    if quote in _TYPOGRAPHIC or text[-1] in _TYPOGRAPHIC:
        raise NoNameError(f"typographic quotes around {shown(text)}; delete them")
    if quote in "\"'" and rest.endswith(quote) and quote not in rest[:-1]:
        return rest[:-1].strip(), True
    if quote in "\"'" or text[-1] == '"':
        if _QUOTED_COLUMNS.search(text):
            raise NoNameError("more than a name: columns, or several names, in quotes; one name per line")
        other = "'" if '"' in text else '"'
        raise NoNameError(f"a quote without its partner (if it belongs to the name, put {other} around the name)")
    return text, False


def _output(text: str) -> str:
    """What is wrong with a line that some program printed for people; empty for other lines."""
    if _RULE.match(text) or " | " in text:
        return "this looks like a table of psql or mysql; have the names alone: psql -At, mysql -BN"
    if _WHO.match(text):
        return "this looks like the output of doveadm who; take its first column: doveadm who | awk 'NR > 1 {print $1}'"
    if _MAP.match(text):
        return "this looks like the output of doveadm director map; take its first column: awk 'NR > 1 {print $1}'"
    if _FLOW.match(text):
        return "this looks like the output of doveadm -f flow; take the names alone"
    if text[0] in "[{" or text in {"]", "}", "],"}:
        return "this looks like JSON; take the names out: jq -r '.[]'"
    if "<" in text or ">" in text:
        return "this looks like an e-mail address with a person's name; keep what stands between < and >"
    return ""


def _columns(text: str, *, masks: bool) -> str:
    """What is wrong with a line that has more than a name; what else it has is not shown, it may be a password."""
    if " #" in text:
        return "more than a name: a comment; comments stand on lines of their own"
    for mark in ",;":
        if text.rstrip(" ,;").count(mark) == 0 and text.endswith(mark):
            return f"a {mark!r} at the end; delete it: sed 's/[,;]*$//'"
        if mark in text:
            return f"more than a name: columns, or several names, divided by {mark!r}; {_first(f'cut -d{mark!r} -f1')}"
    if "\t" in text:
        return f"more than a name: columns, divided by tabs; {_first('cut -f1')}"
    if "  " in text:
        return f"more than a name: columns, divided by blanks; {_first(_AWK)}"
    if ":" in text and not is_network(text):
        return f"more than a name: fields, divided by ':'; {_first('cut -d: -f1')}"
    words = text.split(" ")
    if len(words) > 2 or (len(words) == 2 and (not masks or not is_network(words[0])) and _is_value(words[1])):
        return f"more than a name: several words; {_first(_AWK)}"
    return ""


_AWK = "awk '{print $1}'"


def _first(command: str) -> str:
    return f"one name per line: {command} (if all of it is a name, put it in quotes)"


def _is_value(word: str) -> bool:
    """Whether a second word is rather another column: a number, an address, something in brackets."""
    return word.isdigit() or is_network(word) or word[:1] == "("
