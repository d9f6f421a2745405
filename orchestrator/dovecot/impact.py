"""How many users notice a command: the read-only questions that count them before it is sent, as the catalogue has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from orchestrator.errors import ExpressionError
from orchestrator.text.document import Strict
from orchestrator.text.expression import compile_value, is_template


def is_given(value: Any) -> bool:
    """Whether a parameter with this value says anything."""
    return value not in (None, "", [], False) and str(value).lower() != "false"


class Question(Strict):
    """One question that counts those who notice an operation.

    Attributes:
        ask: a read-only command.
        parameters: of the question. An expression reads `parameters`, those of the operation; a parameter whose expression
            reads one that the operation was not given is left out.
        users, sessions: how many, from `rows` and `parameters`: a number, or a list of those who notice it (of names, or
            of rows), in which nobody counts twice.
        with_: asked where the operation was given one of these parameters; always where there are none.
        without: not asked where it was given one of these.
    """

    ask: str
    parameters: dict[str, Any] = Field({})
    users: str = ""
    sessions: str = ""
    with_: list[str] = Field([], alias="with")
    without: list[str] = Field([])

    def fits(self, parameters: Mapping[str, Any]) -> bool:
        """Whether it tells anything of an operation with these parameters."""
        given = {name for name, value in parameters.items() if is_given(value)}
        return (not self.with_ or not given.isdisjoint(self.with_)) and given.isdisjoint(self.without)

    def parameters_for(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Its parameters for an operation with these."""
        found = {}
        for name, written in self.parameters.items():
            try:
                found[name] = compile_value(written)({"parameters": parameters})
            except ExpressionError:
                if not is_template(written):
                    raise
        return found


class Impact(Strict):
    """How many users notice a command.

    Attributes:
        questions: all that fit are asked, and what they count is added up.
        of_ring: each director counts the users of the whole ring, so that of several answers the greatest number counts.
        but: how the numbers differ from what happens, in a few words ("at most: ..."); empty where they do not.
        source: on which versions that was seen, and how.
    """

    questions: list[Question] = Field(min_length=1)
    of_ring: bool = False
    but: str = ""
    source: str

    @property
    def commands(self) -> list[str]:
        """The commands of its questions."""
        return list(dict.fromkeys(question.ask for question in self.questions))
