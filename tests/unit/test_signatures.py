"""Signatures: made by plain ssh-keygen, and verified by it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.approval import NAMESPACE
from orchestrator.errors import RefusedError
from orchestrator.runs.signatures import Signature, beside, read_signature, verify

MANIFEST = [b'{"manifest":1}\n', '{"plan":"reason","value":"ü"}\n'.encode()]
IN_2024 = 1_720_000_000_000


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's key."""
    path = tmp_path_factory.mktemp("keys") / "bob"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def signers(tmp_path: Path, key: Path) -> Callable[[str], str]:
    """A function that writes a signers file, a line for each text before the key; returns its path."""
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])

    def write(*names: str) -> str:
        (tmp_path / "signers").write_text("".join(f"{name} {public}\n" for name in names))
        return str(tmp_path / "signers")

    return write


def signed(key: Path, content: bytes = b"".join(MANIFEST), namespace: str = NAMESPACE) -> Signature:
    """A signature of a text."""
    words = ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(key)]
    done = subprocess.run(words, input=content, capture_output=True, check=True)
    return Signature("x.sig", done.stdout.decode())


def test_whose_signature_it_is(key: Path, signers: Callable[..., str]) -> None:
    """All names that the signers file has for the key, and the key as people compare it."""
    found = verify(signed(key), MANIFEST, signers("bob,b.jones@example.com"))
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(key)], capture_output=True, text=True, check=True).stdout
    assert found.people == ("bob", "b.jones@example.com")
    assert found.key == shown.split()[1]
    assert found.signature == signed(key).text
    assert found.at > IN_2024


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["bob"], ""),
        (['bob namespaces="orchestrator-plan"'], ""),
        (['bob namespaces="git"'], "x.sig: not a signature of this plan by bob"),
        (['bob valid-before="20250101"'], "x.sig: by nobody who may approve"),
        (['bob valid-after="20990101"'], "x.sig: by nobody who may approve"),
        ([], "x.sig: by nobody who may approve"),
        (["*"], "x.sig: by nobody who may approve"),
        (["*@example.com"], "x.sig: by nobody who may approve"),
    ],
)
def test_what_the_signers_file_says(key: Path, signers: Callable[..., str], names: list[str], words: str) -> None:
    """Its dates and purposes hold; a pattern is nobody."""
    if not words:
        assert verify(signed(key), MANIFEST, signers(*names)).people == ("bob",)
        return
    with pytest.raises(RefusedError, match=words):
        verify(signed(key), MANIFEST, signers(*names))


def test_a_key_was_valid_when_it_was_verified(key: Path, signers: Callable[..., str]) -> None:
    """For a run that was begun in time it does not matter that the key has expired since."""
    file = signers('bob valid-before="20250101"')
    assert verify(signed(key), MANIFEST, file, IN_2024).at == IN_2024
    with pytest.raises(RefusedError, match="by nobody who may approve"):
        verify(signed(key), MANIFEST, file, 1_740_000_000_000)


@pytest.mark.parametrize(
    ("content", "namespace"),
    [(b"".join(MANIFEST)[:-1], NAMESPACE), (b"".join(MANIFEST) + b"\n", NAMESPACE), (b"".join(MANIFEST), "file")],
)
def test_a_signature_of_something_else(key: Path, signers: Callable[..., str], content: bytes, namespace: str) -> None:
    """Of a byte less or more, or for another purpose: it is told in one line, with what ssh-keygen said."""
    with pytest.raises(RefusedError, match=r"x.sig: not a signature of this plan by bob; ssh-keygen: \w.*\Z"):
        verify(signed(key, content, namespace), MANIFEST, signers("bob"))


@pytest.mark.parametrize(
    "text", ["", "nonsense", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", "\x00é"]
)
def test_what_is_no_signature(signers: Callable[..., str], text: str) -> None:
    """Whatever stands in the file."""
    with pytest.raises(RefusedError, match="x.sig: by nobody who may approve"):
        verify(Signature("x.sig", text), MANIFEST, signers("bob"))


def test_a_manifest_that_is_large_or_never_comes(key: Path, signers: Callable[..., str]) -> None:
    """It is handed over piece by piece; what goes wrong while it is made is what is told."""
    block = b"x" * 1_000_000
    assert verify(signed(key, block * 20), (block for _ in range(20)), signers("bob")).people == ("bob",)

    def broken() -> Iterator[bytes]:
        yield block
        raise RefusedError("the plan was changed", hint="make a new one")

    with pytest.raises(RefusedError, match="the plan was changed"):
        verify(signed(key, block), broken(), signers("bob"))


def test_signatures_beside_a_plan(tmp_path: Path) -> None:
    """PLAN.sig and PLAN.*.sig, in order; those of a plan with a longer name are not among them."""
    names = [
        "b1.plan",
        "b1.plan.sig",
        "b1.plan.bob.sig",
        "b1.plan.a.b.sig",
        "b1.plans.sig",
        "b.sig",
        "xb1.plan.sig",
        "b1.plan.bob",
    ]
    for name in names:
        (tmp_path / name).write_text("é", encoding="latin-1")
    found = [path.name for path in beside(tmp_path / "b1.plan")]
    assert found == ["b1.plan.a.b.sig", "b1.plan.bob.sig", "b1.plan.sig"]
    assert beside(tmp_path / "nowhere" / "b1.plan") == []
    assert read_signature(tmp_path / "b1.plan.sig").name == "b1.plan.sig"
    os.mkfifo(tmp_path / "b1.plan.pipe.sig")
    with pytest.raises(RefusedError, match=r"b1.plan.pipe.sig is no file"):
        read_signature(tmp_path / "b1.plan.pipe.sig")
