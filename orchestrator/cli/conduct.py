"""Working on a run from the command line: signals, the display, the end, and the exit code."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from orchestrator.cli import exit_codes
from orchestrator.cli.app import App
from orchestrator.cli.output import beside_the_point, emit_folded, emit_json, is_terminal, message
from orchestrator.cli.question import ask, ask_for
from orchestrator.cli.screen import Screen
from orchestrator.errors import RefusedError
from orchestrator.events import Audience
from orchestrator.fleet.inventory import fold
from orchestrator.journal.base import Reader
from orchestrator.plan.manifest import short
from orchestrator.plan.steps import Plan
from orchestrator.plan.target import target
from orchestrator.report import Report
from orchestrator.runs.work import Choices, Control, How, allow_open_files
from orchestrator.views.objects import report_object
from orchestrator.views.report_text import summary_lines
from orchestrator.views.words import noticed, safe


@dataclass(frozen=True)
class Options:
    """How a run is limited and shown.

    Attributes:
        choices: the limits of the command line.
        quiet: show nothing but what the verb itself prints.
        quiet_end: leave the end to the verb.
    """

    choices: Choices
    form: str = "text"
    verbose: int = 0
    yes: bool = False
    quiet: bool = False
    quiet_end: bool = False


Call = Callable[[How], Awaitable[Report]]
EMERGENCY = "break glass"  # what is typed to confirm it
TOGETHER = 0.1  # seconds; of two signals that come together uvloop may tell one twice, which is no third signal


def conduct(app: App, options: Options, call: Call) -> tuple[Report, int]:
    """Have a run worked on, shown and stopped as an operator wants it.

    Args:
        app: the global options.
        options: how it is shown.
        call: works on it.

    Returns:
        the report, and the exit code: of what the run came to, or of the signal that stopped it.
    """
    allow_open_files()  # the event loop needs some before the work begins
    report, caught = anyio.run(_attended, options, call, backend_options={"use_uvloop": _has_uvloop()})
    with beside_the_point():
        _show_end(app, report, options)
    code = exit_codes.of_status(report.status)
    return report, 128 + caught if caught and code == exit_codes.INTERRUPTED else code


def _has_uvloop() -> bool:
    """Whether the faster event loop can be had; one that is installed and cannot be imported is as good as none."""
    try:
        import uvloop  # noqa: F401
    except Exception:  # noqa: BLE001 - what a broken installation raises is not known
        return False
    return True


async def _attended(options: Options, call: Call) -> tuple[Report, int]:
    """Work with the signals attended to; the report, and the signal that stopped it, or 0."""
    screen = Screen(options.form, options.verbose, quiet=options.quiet, yes=options.yes)
    caught: list[int] = []
    control = Control()
    try:
        async with anyio.create_task_group() as group:
            await group.start(_attend, control, caught, screen.audience)
            gc.freeze()  # what is here now stays
            how = How(observers=[screen.audience], approve=screen.approve, control=control, choices=options.choices)
            report = await call(how)
            group.cancel_scope.cancel()
    finally:
        screen.finish()
    return report, caught[0] if caught else 0


async def _attend(
    control: Control, caught: list[int], audience: Audience, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    """First signal: send nothing more. Second: wait for no answer. Third: die; the run is valid all the same."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        latest: dict[int, float] = {}
        async for number in signals:
            now = anyio.current_time()
            burst = {other for other, at in latest.items() if now - at < TOGETHER}
            again = number in burst and len(burst) > 1
            latest[number] = now
            if number == signal.SIGHUP or again:  # the terminal is gone, and the work goes on; or it is the same one
                continue
            caught.append(number)
            name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
            if len(caught) == 1:
                audience.note(
                    f"stopping ({name}): nothing more is sent; waiting for answers (again: do not wait for them)"
                )
                control.interrupt(name)
            elif len(caught) == 2:
                audience.note("not waiting for answers any more (again: exit at once)")
                control.cancel()
            else:
                os._exit(128 + number)


def confirm(plan: Plan, reader: Reader, *, yes: bool, nothing: str = "nothing was sent") -> None:
    """Ask before anything is changed.

    Args:
        plan: what would be done.
        reader: of the run.
        yes: the answer is given already.
        nothing: what is said after a no.

    Raises:
        RefusedError: the answer is no, or nobody can be asked.
    """
    if yes:
        for warning in plan.warnings:  # nobody has seen the plan
            message(f"warning: {warning}")
    if yes or not plan.changes_anything:
        return
    if not is_terminal():
        raise RefusedError(
            "this would change something, and there is no terminal to ask on",
            hint="look at `orchestrator plan`, then give --yes",
        )
    question = _what_is_asked(plan, reader)
    felt = any(step.user_impact for step in plan.of("step"))
    agreed = ask_for(question, target(plan, reader.changes()), "run it") if felt else ask(f"{question} Run it?")
    if not agreed:
        raise RefusedError(f"not confirmed; {nothing}")


def _what_is_asked(plan: Plan, reader: Reader) -> str:
    """What is about to happen: the plan itself may have left the screen."""
    values = " ".join(f"{name}={safe(text, 60)}" for name, text in reader.header.given.items())
    changed = fold(name for name in plan.inventory.hosts if name in reader.changes())
    felt = [step.key for step in plan.of("step") if step.user_impact]
    about = f"user impact in step{'s' if len(felt) > 1 else ''} {', '.join(felt)}" if felt else "no user impact"
    about += noticed(plan.seen)
    name = " ".join([plan.terms.name, *([f"({values})"] if values else [])])
    return f"{name}: changes {changed}; {about}; digest {short(reader.digest)}."


def confirm_emergency(options: Options, *, changes: bool, question: str = "") -> None:
    """Have a person say again that windows, freezes and approvals are to be ignored: --yes does not, and no script can.

    Args:
        options: with --break-glass, or without.
        changes: whether anything would be changed.
        question: to be asked first, by a verb that otherwise asks nothing.

    Raises:
        RefusedError: nobody says so.
    """
    reason = options.choices.break_glass
    if not (reason and changes):
        return
    if not is_terminal():
        raise RefusedError(
            "--break-glass must be confirmed at a terminal, and there is none",
            hint="log in with one (ssh -t); --yes does not answer for the person who decides this",
        )
    if question and not options.yes and not ask(question):
        raise RefusedError("not confirmed; nothing was sent")
    if not ask_for(f"Windows, freezes and approvals will be ignored: {reason}", EMERGENCY, "do that"):
        raise RefusedError("not confirmed; nothing was sent")


def _show_end(app: App, report: Report, options: Options) -> None:
    if options.form == "json":
        emit_json({"event": "report", **report_object(report, app.program)})
    elif not (options.quiet or options.quiet_end):
        for text in summary_lines(report, app.program):
            emit_folded(text)
