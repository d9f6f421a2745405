"""What the expressions of a run's steps may read at its moment: what was known at planning, and what hosts answered since."""

from __future__ import annotations

from typing import Any

from orchestrator.answers import Answer
from orchestrator.errors import ExpressionError
from orchestrator.journal.base import Reader
from orchestrator.plan.steps import Plan, PlannedStep, RequireStep, Scope
from orchestrator.text.expression import compile_value, names_in, truth
from orchestrator.text.units import parse_duration


class Known:
    """The names of a run, with their values as they stand in its journal.

    Args:
        plan: the run's.
        reader: of the run.
    """

    def __init__(self, plan: Plan, reader: Reader) -> None:
        self._plan, self._reader = plan, reader
        self._numbers = {step.key: step.index for step in plan.steps}
        self._answers: dict[str, Answer] = {}

    def number(self, key: str) -> int:
        """The place of a step in the plan."""
        return self._numbers[key]

    def value(self, step: PlannedStep, written: Any) -> Any:
        """The value of something that a step says, with its expressions worked out.

        Raises:
            ExpressionError: the answers do not allow it.
        """
        return compile_value(written)(self.scope(step, names_in(written)))

    def seconds(self, step: PlannedStep, written: Any) -> float | None:
        """A duration that a step says; None where it says none.

        Raises:
            ExpressionError: the answers do not allow it, or what it says is no duration.
        """
        if written is None:
            return None
        try:
            return parse_duration(self.value(step, written))
        except ValueError as error:
            raise ExpressionError(str(error)) from None

    def require(self, step: RequireStep) -> None:
        """Look whether what a step requires holds.

        Raises:
            ExpressionError: it does not, in the playbook's words; or the answers do not allow to tell.
        """
        for requirement in step.require:
            scope = self.scope(step, names_in([requirement.that, requirement.message]))
            if not truth(compile_value(requirement.that)(scope)):
                raise ExpressionError(str(compile_value(requirement.message)(scope)))

    def scope(self, step: PlannedStep, names: frozenset[str]) -> Scope:
        """What a step's expressions may read: what was known at planning, and the answers among `names`."""
        scope = self._plan.scope(step)
        for name in names & set(step.registered):
            scope[name] = self._given(name, step.registered[name])
        return scope

    def forget(self, key: str) -> None:
        """A step's answers have changed."""
        self._answers.pop(key, None)

    def _given(self, name: str, key: str) -> Any:
        if name == "run":
            return {"id": self._reader.run_id, "started": self._reader.started_ms() // 1000}
        if key not in self._answers:
            self._answers[key] = self._reader.answer(self._numbers[key])
        return self._answers[key]
