"""In which hours a session may work: the window that was given or kept, without freezes, and how long things took before."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from orchestrator.engine.hours import Hours, need, no_room, pieces, took
from orchestrator.engine.rules import Settings
from orchestrator.errors import RefusedError
from orchestrator.fleet.config import ConfigFile
from orchestrator.journal.base import Reader, Run
from orchestrator.plan.steps import Plan
from orchestrator.runs.estimating import as_earlier, earlier_runs, estimate_of
from orchestrator.windows import Opening, find_window, freezes_of, span, until

if TYPE_CHECKING:
    from orchestrator.runs.work import Choices


def opening_of(choices: Choices, file: ConfigFile, now: float) -> Opening | None:
    """The hours that are open now or open next; None when no window was given and no freeze is in sight.

    Args:
        choices: of the session.
        file: the configuration.
        now: seconds since the epoch.

    Raises:
        RefusedError: a freeze, a closed window that is not to be waited for, or one that never opens again.
    """
    freezes = freezes_of(file.freezes)
    frozen = next((freeze for freeze in freezes if freeze.start <= now < freeze.end), None)
    if choices.window is None:
        later = [freeze.start for freeze in freezes if freeze.start > now]
        if frozen and choices.wait and not choices.until:
            return Opening("", frozen.end, min([inf, *(start for start in later if start > frozen.end)]))
        if frozen:
            end = Opening("", now, frozen.end)
            raise RefusedError(
                f"nothing may be changed until {end.clock(frozen.end, now)}: {frozen.reason}",
                hint="a freeze of the configuration; --wait waits for its end; in an emergency: --break-glass REASON",
            )
        opening = _until(choices, now) if choices.until else Opening("", now, inf)
        end_of_work = min([opening.end, *later])
        return Opening("", now, end_of_work) if end_of_work < inf else None
    try:
        window = find_window(choices.window, file.windows)
    except ValueError as error:
        raise RefusedError(str(error)) from None
    found = next(window.openings(now, freezes), None)
    if found is None:
        raise RefusedError(f"the window {window.name} does not open again", hint="give another --window, or --until")
    if not found.covers(now) and not choices.wait:
        why = f" (nothing may be changed now: {frozen.reason})" if frozen else ""
        raise RefusedError(
            f"the window {window.name} is closed; it opens at {found.clock(found.start, now)}, "
            f"in {span(found.start - now)}{why}",
            hint="--wait waits for it; in an emergency: --break-glass REASON",
        )
    return found


def _until(choices: Choices, now: float) -> Opening:
    try:
        return until(choices.until or "", now)
    except ValueError as error:
        raise RefusedError(f"--until: {error}", hint="give another --until, or --window") from None


def hours_of(
    opening: Opening, choices: Choices, plan: Plan, reader: Reader, settings: Settings, others: Iterable[Run]
) -> Hours:
    """The hours, with how long pieces of work took in this run and in earlier runs, and are expected to take.

    Args:
        opening: the hours.
        choices: of the session.
        plan: the run's.
        reader: of the run.
        settings: of configuration and command line.
        others: all runs of the state directory, oldest first.
    """
    earlier = [as_earlier(reader), *earlier_runs(reader.run_id, reader.playbook, others)]
    longest: dict[str, float] = {}
    for run in earlier:
        if run.playbook == reader.playbook:
            for kind, seconds in took(run.steps, run.sessions).items():
                longest[kind] = max(longest.get(kind, 0.0), seconds)
    estimate = estimate_of(plan, reader, settings, earlier)
    for piece in pieces(plan.of("step", "verify")):
        if piece.needs_room:
            estimate.prepare(piece.steps)
    return Hours(opening, choices.takes, longest, estimate, asked_for=bool(choices.window or choices.until))


def refuse_without_room(plan: Plan, hours: Hours) -> None:
    """Refuse a run of which a piece does not fit into the hours, or may not, before anything is sent.

    Raises:
        RefusedError: says which, and what to do.
    """
    for piece in pieces(plan.of("step", "verify")):
        if not piece.needs_room:
            continue
        needed = need(piece, plan, hours, {})
        opening = hours.opening
        if reason := no_room(piece, needed, hours, opening.end - opening.start):
            hint = "say how long it takes at most, with `takes` in the playbook or with --takes 15m"
            raise RefusedError(reason, hint=hint if needed.seconds is None else f"give it more time, or {hint}")
