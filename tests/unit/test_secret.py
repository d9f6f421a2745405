"""Secrets: they come from elsewhere and are shown nowhere."""

from __future__ import annotations

import base64
import copy
import html
import json
import pickle
import struct
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import SecretError
from orchestrator.secret import Secret, SecretReference, encode

WORD = "hunter2x"


@pytest.mark.parametrize(
    "show",
    [
        str,
        repr,
        ascii,
        format,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>40}",
        lambda secret: f"{secret:s}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
        "{}".format,
        lambda secret: str([secret]) + str({"a": secret}) + str((secret,)),
        lambda secret: str(vars(secret)) if hasattr(secret, "__dict__") else "",
        lambda secret: json.dumps({"a": secret}, default=str),
    ],
)
def test_a_secret_is_not_printed(show: Callable[[Secret], str]) -> None:
    """No way of turning a secret into text shows it."""
    assert WORD not in show(Secret(WORD))


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_not_written(copied: Callable[[Secret], Any]) -> None:
    """A secret can be neither pickled nor copied."""
    with pytest.raises(TypeError, match="not written anywhere"):
        copied(Secret(WORD))


def test_a_secret_is_in_no_traceback() -> None:
    """A traceback of a failure that had a secret at hand, with all local values, does not show it."""
    held = Secret(WORD)
    try:
        raise ValueError(held)
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "held" in shown
    assert WORD not in shown


def test_a_secret_is_revealed_on_request_only() -> None:
    """The one place that sends it gets the value."""
    assert Secret(WORD).reveal() == WORD


@pytest.mark.parametrize(
    "text",
    [
        WORD,
        f"X-Dovecot-API {base64.b64encode(WORD.encode()).decode()}",
        f"Basic {base64.b64encode(f'doveadm:{WORD}'.encode()).decode()}",
        f"{WORD}{WORD} and {encode(WORD)}",
    ],
)
def test_what_a_server_echoes_is_redacted(text: str) -> None:
    """The secret is redacted as it is and in both base64 forms."""
    shown = Secret(WORD).redact(text.encode()).decode()
    assert "***" in shown
    assert not any(form in shown for form in (WORD, encode(WORD), encode(f"doveadm:{WORD}")))


@given(
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_redaction_leaves_no_secret(word: str, before: str, after: str) -> None:
    """Whatever stands around a secret, it is gone afterwards, unless the stars themselves spell it."""
    secret = Secret(word)
    for form in (word, encode(word), encode("doveadm:" + word)):
        shown = secret.redact((before + form + after).encode()).decode()
        assert word in "***" or form not in shown.replace("***", "\0")


def by_number(text: str) -> str:
    """As JSON may write any text."""
    units = text.encode("utf-16-be")
    return "".join(f"\\u{unit:04X}" for (unit,) in struct.iter_unpack(">H", units))


WORDS = ["cAnArY-5up3r+/s3cr3t", 'p%d"x y$z#ä', "back\\slash's", "snow☃man-1", "emoji😀-12345"]
JSON_WAYS: dict[str, Callable[[str], str]] = {
    "plain": lambda word: json.dumps(word, ensure_ascii=False)[1:-1],
    "ascii": lambda word: json.dumps(word)[1:-1],
    "slashes": lambda word: json.dumps(word)[1:-1].replace("/", "\\/"),
    "numbers": by_number,
    "some numbers": lambda word: json.dumps(word)[1:-1].replace("s", "\\u0073").replace("a", "\\u0061"),
    "within JSON": lambda word: json.dumps(json.dumps(word).replace("/", "\\/"))[3:-3],
    "base64": encode,
    "base64, no padding": lambda word: encode(word).rstrip("="),
    "base64, slashes": lambda word: encode(word).replace("/", "\\/"),
    "base64 for URLs": lambda word: base64.urlsafe_b64encode(word.encode()).decode(),
    "Basic": lambda word: encode("doveadm:" + word),
    "within base64": lambda word: encode("x" + word + "yz"),
    "further within base64": lambda word: encode("xy" + word + "z"),
    "far within base64": lambda word: encode("user:xyz" + word + "\0\0"),
}
NAMES = {"'": "apos", '"': "quot", "&": "amp", "ä": "auml"}
WAYS: dict[str, Callable[[str], str]] = {
    **JSON_WAYS,
    "URL": lambda word: quote(word, safe=""),
    "form": quote_plus,
    "page": html.escape,
    "page, names": lambda word: "".join(f"&{name};" if (name := NAMES.get(c)) else c for c in word),
    "page, numbers": lambda word: "".join(f"&#{ord(c)};" for c in word),
    "page, hexadecimal": lambda word: "".join(f"&#x{ord(c):X};" for c in word),
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_secret_is_found_however_it_is_written(word: str, way: str) -> None:
    """Words lose the secret in every way of writing it, wherever it stands; what stands around it stays."""
    shown = Secret(word).redact(f"before {WAYS[way](word)} after".encode()).decode()
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "***" in shown
    assert len(shown) < len("before *** after") + 20  # what stood beside it in longer base64


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("way", JSON_WAYS)
@pytest.mark.parametrize("around", ["", "x "])
def test_rows_lose_a_secret_however_it_is_written(word: str, way: str, around: str) -> None:
    """In rows too, as a value and, where it is no usual word, within one; JSON stays JSON."""
    data = f'[{{"user":"u1","a":"{around}{JSON_WAYS[way](word)}"}}]'.encode()
    assert json.loads(data)[0]["user"] == "u1"
    [row] = json.loads(Secret(word).redact_data(data))
    assert row["user"] == "u1"
    assert row["a"].startswith(around)
    assert "***" in row["a"]
    assert len(row["a"]) < len("x ***") + 20


@pytest.mark.parametrize(
    ("word", "text", "expected"),
    [
        ("abcd", "YWJjZA==, YWJjZA", "***, ***"),
        ("abcd", "YWJjZAxx, YWJjZA/", "YWJjZAxx, YWJjZA/"),  # other base64 that begins alike by chance
        ("abc", encode("abc:user"), "***OnVzZXI="),
        (WORD, encode("xy" + WORD), encode("xy")[:2] + "***"),
        (WORD, encode("x" + WORD), encode("x")[:1] + "***"),
        (WORD, f"C:\\{WORD}", "C:\\***"),
        ("s3cr€\x80ÿ", "s3cr\\u20ac\x80ÿ", "***"),
        ("😀x", "\\u1f600x", "\\u1f600x"),
    ],
)
def test_of_what_stands_around_a_secret_nothing_more_goes(word: str, text: str, expected: str) -> None:
    """All that the secret went into goes, also of a short one; what only begins alike stays."""
    assert Secret(word).redact(text.encode("latin-1")).decode("latin-1") == expected


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_rows_without_the_secret_stay_as_they_are(text: str) -> None:
    """What is escaped is looked at, and not changed."""
    data = json.dumps([{"a": text}]).encode()
    assert Secret("no-such-secret-1").redact_data(data) == data


def test_data_keeps_words_that_contain_the_secret() -> None:
    """In rows a value that is the secret is redacted, also with escaped slashes; a user's name that contains it stays."""
    secret = Secret("mail")
    assert secret.redact_data(b'[{"user":"mailer","password":"mail"}]') == b'[{"user":"mailer","password":"***"}]'
    encoded = encode("doveadm:mai??")
    assert "/" in encoded
    for written in (encoded, encoded.replace("/", "\\/")):
        assert Secret("mai??").redact_data(f'{{"a":"x {written}"}}'.encode()) == b'{"a":"x ***"}'


@pytest.mark.parametrize("word", [WORD, "pä ss'wörd\"", "a" * 5000])
def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """An environment variable's value is the secret as it stands."""
    monkeypatch.setenv("SOME_SECRET", word)
    assert SecretReference("env", "SOME_SECRET").resolve().reveal() == word


@pytest.mark.parametrize(
    "content", [b"hunter2x", b"\xef\xbb\xbfhunter2x\r\n", b"hunter2x\n", b"hunter2x\r\n", b"hunter2x\n\n"]
)
def test_a_secret_comes_from_a_file(tmp_path: Path, content: bytes) -> None:
    """A file holds the secret alone; line ends after it do not belong to it."""
    (tmp_path / "key").write_bytes(content)
    assert SecretReference("file", str(tmp_path / "key")).resolve().reveal() == WORD


def test_blanks_belong_to_a_secret(tmp_path: Path) -> None:
    """Only line ends are cut; a password may begin or end with a blank."""
    (tmp_path / "key").write_text(" hunter2x \n")
    assert SecretReference("file", str(tmp_path / "key")).resolve().reveal() == " hunter2x "


@pytest.mark.parametrize(
    "output", ["hunter2x", "hunter2x\\r\\n", "hunter2x\\nuser: doveadm\\nurl: x\\n", "hunter2x\\n\\377\\n"]
)
def test_a_secret_is_the_first_line_of_a_command(output: str) -> None:
    """Password managers print notes below the password, which do not belong to it."""
    assert SecretReference("command", ("printf", output)).resolve().reveal() == WORD


def test_a_file_of_several_lines_is_refused(tmp_path: Path) -> None:
    """A secret's file holds nothing else; the error says how to take one line of many."""
    (tmp_path / "key").write_text("hunter2x\nuser: doveadm\n")
    with pytest.raises(SecretError, match="has 2 lines") as caught:
        SecretReference("file", str(tmp_path / "key")).resolve()
    assert "use command" in caught.value.hint
    assert WORD not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("word", "doubt"),
    [
        ("x y", ""),
        (" x", "the secret begins with a blank"),
        ("x\u00a0", "the secret ends with a blank"),
        ("'x'", "the secret stands in quotes, which are a part of it here"),
        ('"', ""),
    ],
)
def test_what_is_odd_about_a_secret_is_told(word: str, doubt: str) -> None:
    """Whoever is refused is told what may be wrong with the secret, and not the secret."""
    assert Secret(word).doubt == doubt


def test_a_secret_comes_from_a_command() -> None:
    """What a command prints is the secret; its words go through no shell."""
    assert SecretReference("command", ("printf", "%s\n", "$HOME;x")).resolve().reveal() == "$HOME;x"


@pytest.mark.parametrize(
    ("kind", "target", "message"),
    [
        ("env", "NO_SUCH_VARIABLE", "the environment variable NO_SUCH_VARIABLE is not set"),
        ("env", "EMPTY_VARIABLE", "the secret from env: EMPTY_VARIABLE is empty"),
        ("env", "BAD_VARIABLE", "contains control characters"),
        ("file", "/no/such/file", "cannot read the secret file /no/such/file: No such file"),
        ("file", "/", "cannot read the secret file /: Is a directory"),
        (
            "command",
            ("/no/such/program", "x"),
            "cannot run the secret command /no/such/program: No such file or directory",
        ),
        ("command", ("false",), "the secret command false ended with exit code 1"),
        ("command", ("true",), "the secret from command: true is empty"),
        ("command", ("printf", "a\\tb"), "contains control characters"),
        ("command", ("printf", "\\nb"), "is empty"),
        ("env", "LATIN_VARIABLE", "is not UTF-8 text"),
        ("command", ("printf", "\\377"), "not UTF-8"),
    ],
)
def test_a_secret_that_cannot_be_had_is_explained(
    monkeypatch: pytest.MonkeyPatch, kind: str, target: Any, message: str
) -> None:
    """Every failure is a SecretError that names the reference and never a value."""
    monkeypatch.setenv("EMPTY_VARIABLE", "")
    monkeypatch.setenv("LATIN_VARIABLE", f"{WORD}\udcff")
    monkeypatch.setenv("BAD_VARIABLE", f"{WORD}\ninjected: header")
    with pytest.raises(SecretError) as caught:
        SecretReference(kind, target).resolve()
    assert message in caught.value.message
    assert WORD not in caught.value.message + caught.value.hint


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused without showing its bytes."""
    (tmp_path / "key").write_bytes(b"hunter2x\xff")
    with pytest.raises(SecretError, match="not UTF-8 text") as caught:
        SecretReference("file", str(tmp_path / "key")).resolve()
    assert WORD not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o600, 0o400])
def test_a_file_that_others_can_read_is_warned_of(tmp_path: Path, mode: int) -> None:
    """A secret's file that group or world can read is named with its mode and the remedy."""
    path = tmp_path / "key"
    path.write_text(WORD)
    path.chmod(mode)
    warning = SecretReference("file", str(path)).warning()
    assert bool(warning) == bool(mode & 0o044)
    assert not warning or (f"mode {mode:04o}" in warning and "chmod 600" in warning)


@pytest.mark.parametrize(("kind", "target"), [("env", "HOME"), ("command", ("true",)), ("file", "/no/such")])
def test_no_warning_where_there_is_nothing_to_see(kind: str, target: Any) -> None:
    """Only files can be read by others; one that is missing is told when it is needed."""
    assert SecretReference(kind, target).warning() == ""


def test_a_command_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password manager that waits for somebody is told apart from one that is not there."""
    monkeypatch.setattr("orchestrator.secret.COMMAND_TIMEOUT", 0.2)
    with pytest.raises(SecretError, match="cannot run the secret command sleep: no answer within 0 s"):
        SecretReference("command", ("sleep", "60")).resolve()


def test_a_file_that_is_called_like_a_variable_is_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret of the environment is not warned of because of some file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "DOVEADM_PASSWORD").touch(0o644)
    assert SecretReference("env", "DOVEADM_PASSWORD").warning() == ""
