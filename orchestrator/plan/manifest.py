"""The manifest: all that was planned as one canonical text, which approvers sign, and whose SHA-256 is the plan's digest. Pure.

JSON lines in UTF-8: no spaces, keys sorted, one line end after each. First what holds for the plan as a whole, by name; then its
hosts, its lists (by their hash), its steps, and each operation that is known. It is made of what the run keeps, whatever that
is: what a plan comes to hold is in it without anybody thinking of it.

Who made a plan, when, and what was seen of the fleet then, is in the manifest of a saved plan alone, which is approved as the one
that it is. Two plannings of the same have the same manifest otherwise, and the digest in a question can be compared with one that
was reviewed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring
from typing import Any, NamedTuple

FORMAT = 1
SHOWN = 16  # characters of a digest, where people read it
GATHERED = 1_000  # operations that are handed out together

_LATER = frozenset({"digest", "limits"})  # the one is made of the manifest, the others are said when the run is started
_OF_THE_SAVED = frozenset({"authors", "created", "run_id", "seen"})
_TEXTS = frozenset({"config_path", "created", "limit", "playbook", "reason", "run_id", "ticket", "version"})
_SENT, _LEFT_OUT = '","parameters":', '","left_out":true,"parameters":'
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


class StepText(NamedTuple):
    """What the operations of a step have in common.

    Attributes:
        key, command: the step's.
        first: the number of its first operation.
    """

    key: str
    command: str
    first: int


OperationText = tuple[
    int, int, int, str, int
]  # number, the numbers of step and host, parameters, whether it is left out


def line(parts: Mapping[str, Any]) -> bytes:
    """A line of the manifest."""
    return f"{_encode(parts)}\n".encode()


def head(texts: Mapping[str, str]) -> Iterator[bytes]:
    """The lines of what holds for the plan as a whole.

    Args:
        texts: by name, as the run keeps them: JSON, but for a few that are texts.

    Raises:
        ValueError: one of them is not what it was when it was written.
    """
    left_out = _LATER if json.loads(texts["authors"]) else _LATER | _OF_THE_SAVED
    yield line({"manifest": FORMAT})
    for name in sorted(texts.keys() - left_out):
        yield line({"plan": name, "value": texts[name] if name in _TEXTS else json.loads(texts[name])})


def operations(
    steps: Mapping[int, StepText], hosts: Mapping[int, str], kept: Iterable[OperationText]
) -> Iterator[bytes]:
    """The lines of operations, many at a time.

    The parameters stand as they are sent, and last: where they begin is certain, and they end with the line.

    Args:
        steps: by number.
        hosts: names by number.
        kept: the operations in order, as the run keeps them.

    Raises:
        ValueError: parameters of more than one line, which this program never writes.
        KeyError: there is no such step or host.
    """
    gathered: list[str] = []
    begun: dict[int, str] = {}  # by host, of one step: those of all steps may be as many as the operations
    last, before = -1, 0
    for number, step, host, parameters, left_out in kept:
        if step != last:
            begun, last, before = {}, step, steps[step].first - 1
        if (beginning := begun.get(host)) is None:
            beginning = begun[host] = _beginning(steps[step], hosts[host])
        if "\n" in parameters:
            raise ValueError(parameters)
        middle = _LEFT_OUT if left_out else _SENT
        gathered.append(f"{beginning}{number - before}{middle}{parameters}}}\n")
        if len(gathered) == GATHERED:
            yield "".join(gathered).encode()
            gathered.clear()
    yield "".join(gathered).encode()


def _beginning(step: StepText, host: str) -> str:
    command, host, key = (encode_basestring(text) for text in (step.command, host, step.key))
    return f'{{"command":{command},"host":{host},"id":{key[:-1]}.'


def digest(manifest: Iterable[bytes]) -> str:
    """The SHA-256 of a manifest, in hexadecimal: what `sha256sum` prints of it."""
    found = hashlib.sha256()
    for part in manifest:
        found.update(part)
    return found.hexdigest()


def short(digest: str) -> str:
    """A digest as people read and compare it."""
    return digest[:SHOWN]
