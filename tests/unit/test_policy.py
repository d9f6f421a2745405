"""The policy: read from where only root can have written it, and refused otherwise."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import InputError, OrchestratorError, RefusedError
from orchestrator.policy import PATH, load_policy
from tests.stranger import needs_root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a policy and a signers file, both as they should be."""
    place = tmp_path / "orchestrator"
    place.mkdir(mode=0o755)
    (place / "signers").write_text("bob ssh-ed25519 AAAA\n")
    (place / "policy.yaml").write_text(f"approvals: {{signers: {place / 'signers'}}}\nprotect: [d1]\n")
    for path in place.iterdir():
        path.chmod(0o644)
    return place


def test_the_place_is_fixed() -> None:
    """Nothing that is typed or exported names another one."""
    assert Path("/etc/orchestrator/policy.yaml") == PATH


def test_without_a_policy_nothing_is_wanted(tmp_path: Path) -> None:
    """No file, or no folder: no policy, whoever asks."""
    for path in (tmp_path / "policy.yaml", tmp_path / "nowhere" / "policy.yaml"):
        found = load_policy(path)
        assert (found.file.approvals, found.file.require_window, found.file.protect) == (None, False, [])
        assert found.text == "null"


@needs_root
def test_what_a_policy_says(folder: Path) -> None:
    """Its values with their defaults, and the hash of the signers file, are what a plan keeps of it."""
    found = load_policy(folder / "policy.yaml")
    terms = found.file.approvals
    assert terms is not None
    assert (terms.needed, terms.not_by_author, terms.valid_for) == (1, True, 14 * 86_400)
    hashed = hashlib.sha256(b"bob ssh-ed25519 AAAA\n").hexdigest()
    kept = json.loads(found.text)
    assert kept["approvals"]["signers_sha256"] == hashed
    assert kept["protect"] == ["d1"]
    (folder / "signers").write_text("eve ssh-ed25519 AAAA\n")
    assert load_policy(folder / "policy.yaml").text != found.text


def swap(path: Path) -> None:
    """Have a symbolic link where a file was."""
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def pipe(path: Path) -> None:
    """Have a pipe where a file was."""
    path.unlink()
    os.mkfifo(path)


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    ("policy.yaml", lambda path: path.chmod(0o666), "can be written by others than root"),
    ("policy.yaml", lambda path: path.chmod(0o664), "can be written by others than root"),
    ("policy.yaml", lambda path: os.chown(path, 12_345, 0), "does not belong to root"),
    ("policy.yaml", swap, "is a symbolic link; put it there itself"),
    ("policy.yaml", pipe, "is not what it should be"),
    ("policy.yaml", lambda path: path.write_bytes(b"#" * (9 << 20)), "is larger than 8 MiB"),
    ("signers", lambda path: path.chmod(0o646), "can be written by others than root"),
    ("signers", lambda path: os.chown(path, 12_345, 0), "does not belong to root"),
    ("signers", swap, "is a symbolic link; put it there itself"),
    ("signers", Path.unlink, "cannot be read: No such file or directory"),
    ("", lambda path: path.chmod(0o775), "can be written by others than root"),
    ("", lambda path: path.chmod(0o757), "can be written by others than root"),
    ("", lambda path: os.chown(path, 12_345, 0), "does not belong to root"),
    ("", swap, "is a symbolic link; put it there itself"),
]


@needs_root
@pytest.mark.parametrize(("name", "spoil", "said"), BAD)
def test_what_others_could_have_written_is_refused(
    folder: Path, name: str, spoil: Callable[[Path], object], said: str
) -> None:
    """Each file and each folder on the way to it must be root's alone."""
    load_policy(folder / "policy.yaml")
    spoil(folder / name)
    with pytest.raises(RefusedError, match=f"{folder / name} {said}; without a policy that can be trusted nothing is"):
        load_policy(folder / "policy.yaml")


@needs_root
def test_a_folder_where_each_may_remove_only_what_is_his_own(folder: Path) -> None:
    """As in /tmp, what is root's can be replaced by root alone."""
    folder.chmod(0o1777)
    assert load_policy(folder / "policy.yaml").file.approvals is not None


@needs_root
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("aprovals: {}\n", ":1:1: unknown key 'aprovals' \\(did you mean 'approvals'\\?\\)"),
        ("approvals: {signers: signers}\n", "must be a whole path, such as /etc/orchestrator/signers"),
        ("approvals: {}\n", "the key 'signers' is missing"),
        ("approvals: {needed: 0, signers: /x}\n", "greater than or equal to 1"),
        ("require_window: yes\n", "yes is a boolean in YAML: write true"),
        ("protect: d1\n", "must be a list"),
        ("", "must be a mapping"),
        ("\xff", "not UTF-8"),
    ],
)
def test_mistakes_in_a_policy_have_their_place(folder: Path, text: str, said: str) -> None:
    """What cannot be read is an error, and never no policy."""
    (folder / "policy.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=said) as caught:
        load_policy(folder / "policy.yaml")
    assert isinstance(caught.value, OrchestratorError)
    assert str(folder / "policy.yaml") in caught.value.message
