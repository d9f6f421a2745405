"""What somebody meant who typed a word that is not there: a verb of another tool, a forgotten -e, a mistyped option."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import pairwise

import click

from orchestrator.errors import nearest

# Words of other tools -> what is typed here.
_OTHER_WORDS = {
    "status": "show",
    "info": "show",
    "log": "show",
    "logs": "show",
    "follow": "show",
    "watch": "show",
    "list": "runs",
    "ls": "runs",
    "ps": "runs",
    "history": "runs",
    "continue": "resume",
    "start": "run",
    "play": "run",
    "playbook": "playbooks",
    "repeat": "retry",
    "rerun": "retry",
    "ping": "check",
    "test": "check",
    "lint": "validate",
    "send": "exec",
    "ask": "exec",
    "command": "commands",
    "catalog": "commands",
    "dry-run": "plan",
    "diff": "plan",
    "preview": "plan",
    "approve": "apply",
    "settle": "decide",
}
_NO_VERB = {
    "help": "`orchestrator --help`, or `orchestrator VERB --help`",
    "version": "`orchestrator --version`",
    "stop": "a run is stopped with Ctrl-C where it runs, or with SIGTERM to its process; `orchestrator show` says which",
    "cancel": "a run is stopped with Ctrl-C where it runs, or with SIGTERM to its process; `orchestrator show` says which",
    "kill": "a run is stopped with Ctrl-C where it runs, or with SIGTERM to its process; `orchestrator show` says which",
    "undo": "what a playbook's description says takes it back: `orchestrator playbooks NAME` shows it",
    "rollback": "what a playbook's description says takes it back: `orchestrator playbooks NAME` shows it",
    "abandon": "a run that is not wanted any more needs nothing; resume another one by its name",
}
_DRY = {"--dry-run", "--dryrun", "--check", "--diff", "--simulate", "--noop", "--plan", "-n", "--what-if"}
_OTHER_OPTIONS = {
    "--extra-vars": "-e",
    "--forks": "--in-flight",
    "-f": "--in-flight",
    "--parallel": "--in-flight",
    "--hosts": "--limit",
    "--host": "--limit",
    "-l": "--limit",
    "--json": "--format json",
    "-o": "-o FILE (of plan)",
    "--no-confirm": "--yes",
    "--assume-yes": "--yes",
}
_GLOBAL = ("-c", "--config", "--state-dir")
_VALUE = re.compile(r"[A-Za-z_]\w*=")
_OPERATION = re.compile(r"\d+(?:\[\d+\])?(?:\.\w+)*\.\d+\Z")


class NoVerbError(click.UsageError):
    """A word that stands where a verb does, and is none."""

    def __init__(self, word: str, context: click.Context) -> None:
        super().__init__(f"there is no verb {word!r}", context)
        self.word = word


def hint(error: click.ClickException, arguments: Sequence[str], verbs: Sequence[str]) -> str:
    """What to type instead, or where it is explained.

    Args:
        error: what click did not understand.
        arguments: as they were typed.
        verbs: of this program.
    """
    context = getattr(error, "ctx", None)
    found = ""
    if isinstance(error, NoVerbError):
        found = _of_verb(error.word, verbs)
    elif isinstance(error, click.NoSuchOption):
        found = _of_option(error, arguments)
    elif context is not None and context.info_name in {"plan", "run"}:
        found = _of_values(arguments)
    return found or (f"`{context.command_path} --help` explains" if context else "")


def _of_verb(word: str, verbs: Sequence[str]) -> str:
    if word.lower() in _NO_VERB:
        return _NO_VERB[word.lower()]
    if word.endswith((".yaml", ".yml")):
        return f"a verb comes first: orchestrator plan {shlex.quote(word)}"
    meant = _OTHER_WORDS.get(word.lower()) or nearest(word, verbs)
    return f"did you mean `orchestrator {meant}`?" if meant else "`orchestrator --help` lists the verbs"


def _of_option(error: click.NoSuchOption, arguments: Sequence[str]) -> str:
    name = error.option_name
    context = error.ctx
    if name in _GLOBAL and context is not None and context.parent is not None:
        return f"{name} must come before the verb: {_moved(name, arguments)}"
    if name in _DRY:
        return "`orchestrator plan` shows all that would be done, and sends nothing; with --live it asks the hosts"
    if name in _OTHER_OPTIONS:
        return f"did you mean {_OTHER_OPTIONS[name]}?"
    return ""


def _moved(name: str, arguments: Sequence[str]) -> str:
    """The command as it was typed, with a global option where it belongs."""
    words = list(arguments)
    at = next((place for place, word in enumerate(words) if word == name or word.startswith(f"{name}=")), None)
    if at is None:
        return f"orchestrator {name} ..."
    size = 1 if "=" in words[at] else 2
    moved = words[at : at + size]
    return shlex.join(["orchestrator", *moved, *words[:at], *words[at + size :]])


def _of_values(arguments: Sequence[str]) -> str:
    """Values that were given without -e."""
    bare = [word for before, word in pairwise(arguments) if _VALUE.match(word) and not before.startswith("-")]
    given = " ".join(f"-e {shlex.quote(word)}" for word in bare)
    return f"values of a playbook's parameters are given with -e: {given}" if bare else ""


def operation_hint(name: str) -> str:
    """Where an operation's number stands in place of a run's name, what is typed for it; else empty."""
    if not _OPERATION.match(name):
        return ""
    return f"`orchestrator show last {shlex.quote(name)}` shows the operation {name} of the newest run"
