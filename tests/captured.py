"""All that real servers (2.3.19.1 and 2.4.1) were seen to answer, and what it means.

`tests/data/exchanges.jsonl` holds 827 exchanges; those that do not differ in anything that matters share a line. What
an exchange means was written down from what the server was made to do when it was captured, not by reading it with
this program.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parent / "data" / "exchanges.jsonl"


@dataclass(frozen=True, kw_only=True)
class Captured:
    """One exchange, or several that are the same.

    Attributes:
        names: of the captures; the last part is the version.
        asked: the command, or several; or HTTP method and path where it was no POST.
        status: None when no HTTP answer came.
        lost: why none came: closed, timeout, refused, tls, certificate.
        offered: the schemes of authentication that a 401 names.
        body: whole, unless `cut`.
        tags: of the commands that were sent.
        answers: tag, number of rows, type of error and exit code of each answer; none for what is no list of answers.
        commands: how many commands a list of commands has.
    """

    names: Sequence[str]
    version: str
    asked: str
    status: int | None = None
    lost: str = ""
    offered: Sequence[str] = ()
    body: str = ""
    tags: Sequence[str] = ()
    answers: Sequence[tuple[str, int, str, int | None]] | None = None
    cut: bool = False
    commands: int | None = None

    def __str__(self) -> str:
        """Its name in test reports."""
        return self.names[0]

    @property
    def raw(self) -> bytes:
        """The body as it was sent."""
        return self.body.encode()


EXCHANGES = [Captured(**json.loads(line)) for line in DATA.read_text(encoding="utf-8").split("\n") if line]
ANSWERED = [found for found in EXCHANGES if found.answers is not None]
SINGLE = [found for found in ANSWERED if len(found.tags) == 1]
