"""Whether a run may change anything, by the policy of this machine: approvals and windows. Asked before anything is sent."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from orchestrator.approval import Approval, changed, count, loosened, signing_command, too_old
from orchestrator.engine.rules import IN_FLIGHT
from orchestrator.errors import RefusedError
from orchestrator.journal.base import Reader
from orchestrator.limits import Limits
from orchestrator.plan.steps import Plan
from orchestrator.policy import ApprovalTerms, Policy, load_policy
from orchestrator.runs.planning import Fleet
from orchestrator.runs.signatures import Signature, verify
from orchestrator.status import Status
from orchestrator.version import __version__

if TYPE_CHECKING:
    from orchestrator.runs.work import Choices

EMERGENCY = "in an emergency: --break-glass REASON"


def refuse_at_once(plan: Plan, choices: Choices, saving: str, file: str) -> None:
    """Refuse to run at once what the policy wants approved, or within a window.

    Args:
        plan: what would be run.
        choices: of the session.
        saving: the command that saves the plan in `file`.
        file: its name.

    Raises:
        RefusedError: says what to type instead.
    """
    policy = load_policy()
    if choices.break_glass or not plan.changes_anything:
        return
    _refuse_without_window(policy, choices)
    if policy.file.approvals is not None:
        raise RefusedError(
            f"the policy of this machine wants changes approved ({_people(policy.file.approvals)})",
            hint="save the plan, have it approved, apply it:\n"
            f"  {saving}\n  {signing_command(file)}\n  orchestrator apply {file}\n{EMERGENCY}",
        )


def allowed(
    reader: Reader, plan: Plan, choices: Choices, fleet: Fleet, signatures: Iterable[Signature] = (), name: str = ""
) -> tuple[Approval, ...]:
    """The approvals with which a run may be begun, or gone on with.

    Args:
        reader: of the run, or of a saved plan.
        plan: its plan.
        choices: of the session, with those that the run keeps.
        fleet: the configuration.
        signatures: that were given, to begin with; a run that was begun keeps its own.
        name: what one types for the plan.

    Returns:
        those to be kept with a run that is begun now; none for one that keeps its own, or needs none.

    Raises:
        RefusedError: the policy does not allow it; says why, and what to do.
    """
    policy = load_policy()
    if choices.break_glass or not plan.changes_anything:
        return ()
    _refuse_without_window(policy, choices)
    if not reader.sessions():
        _refuse_without_conditions(policy, plan)
    terms = policy.file.approvals
    if terms is None:
        return ()
    settings = Limits.model_validate({"in_flight": IN_FLIGHT, **json.loads(reader.header.settings).get("limits", {})})
    if reason := loosened(settings, choices.in_flight, choices.rate):
        raise RefusedError(reason, hint=f"limits may be lowered, and not raised; {EMERGENCY}")
    if reader.sessions() and reader.status()[0] is not Status.NOT_STARTED:
        _refuse_without_kept(reader, terms)
        return ()
    if choices.max_failed is not None:
        raise RefusedError(
            f"--max-failed {choices.max_failed} was not approved; the plan says how many operations may fail",
            hint=f"say it in the playbook (limits: max_failed), and plan again; {EMERGENCY}",
        )
    if reader.sessions():  # nothing was changed: it is as if it had not been begun, but keeps what it was given
        _approved(reader, terms, policy, fleet, _kept(reader), reader.run_id)
        return ()
    return _approved(reader, terms, policy, fleet, signatures, name or reader.run_id)


def standing(reader: Reader, signatures: Iterable[Signature]) -> tuple[list[Approval], str] | None:
    """Who has approved a plan that nobody has begun, and why that is not enough, with what is wrong with other signatures.

    Returns:
        None where no approval is wanted.

    Raises:
        InputError, RefusedError: the policy, or ssh-keygen, cannot be used.
    """
    terms = load_policy().file.approvals
    if terms is None or not reader.changes():
        return None
    found, refused = _verified(((one, 0) for one in signatures), reader, terms)
    counted, lacking = count(terms, found, reader.header.authors)
    return counted, "; ".join([*([lacking] if lacking else []), *refused])


def _people(terms: ApprovalTerms) -> str:
    return f"{terms.needed} {'person' if terms.needed == 1 else 'people'} of {terms.signers}"


def _refuse_without_window(policy: Policy, choices: Choices) -> None:
    if policy.file.require_window and not (choices.window or choices.until):
        raise RefusedError(
            "the policy of this machine wants changes made within a window",
            hint=f"give --window NAME, or --until TIME; {EMERGENCY}",
        )


def _refuse_without_conditions(policy: Policy, plan: Plan) -> None:
    """A plan that was made before the policy said so lacks what must hold for every change."""
    has = [planned.condition for planned in plan.conditions if planned.source == "policy"]
    lacking = [condition.name for condition in policy.file.conditions if condition not in has]
    if lacking:
        raise RefusedError(
            f"the policy of this machine wants the condition {lacking[0]!r}, which this plan does not have",
            hint=f"make the plan again; {EMERGENCY}",
        )


def _approved(
    reader: Reader, terms: ApprovalTerms, policy: Policy, fleet: Fleet, signatures: Iterable[Signature], name: str
) -> tuple[Approval, ...]:
    """The approvals of a plan that nobody has begun."""
    again = f"make the plan again, and have it approved; {EMERGENCY}"
    header = reader.header
    if not header.authors:
        raise RefusedError(f"{name} was not saved as a plan, and cannot be approved", hint=f"plan with -o; {EMERGENCY}")
    then = {"policy": header.policy, "settings": header.settings, "version": header.version}
    now = {"policy": policy.text, "settings": fleet.settings, "version": __version__}
    if reason := changed(then, now, terms.signers) or too_old(terms, time.time() - header.created / 1000):
        raise RefusedError(f"{reason}: it is not what was approved", hint=again)
    found, refused = _verified(((one, 0) for one in signatures), reader, terms)
    counted, lacking = count(terms, found, header.authors)
    if lacking:
        words = "; ".join([lacking, *refused])
        raise RefusedError(f"{name} is not approved: {words}", hint=f"{signing_command(name)}\n{EMERGENCY}")
    return tuple(counted)


def _refuse_without_kept(reader: Reader, terms: ApprovalTerms) -> None:
    """A run that was begun needs no new approval; those that it keeps must still be by people who may approve.

    As many as were needed when it was planned: a policy that wants more now is for what is planned now.
    """
    then = (json.loads(reader.header.policy) or {}).get("approvals") or {}
    terms = terms.model_copy(update={"needed": min(terms.needed, then.get("needed", terms.needed))})
    moments = (one.at for one in reader.approvals())
    found, refused = _verified(zip(_kept(reader), moments, strict=True), reader, terms)
    _, lacking = count(terms, found, reader.header.authors)
    if lacking:
        words = "; ".join([lacking, *refused])
        raise RefusedError(f"run {reader.run_id} is not approved: {words}", hint=EMERGENCY)


def _kept(reader: Reader) -> list[Signature]:
    return [Signature(f"approval of {one.people[0]}", one.signature) for one in reader.approvals()]


def _verified(
    signatures: Iterable[tuple[Signature, int]], reader: Reader, terms: ApprovalTerms
) -> tuple[list[Approval], list[str]]:
    """The signatures that are what they should be, and why the others are not."""
    found, refused = [], []
    for signature, at in signatures:
        try:
            found.append(verify(signature, reader.manifest(), terms.signers, at))
        except RefusedError as error:
            if error.hint:
                raise  # not this signature's fault
            refused.append(error.message)
    return found, refused
