"""Planning into a run file, and working on a run file: what run, apply, exec, resume, retry and demo share."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import App
from orchestrator.cli.output import beside_the_point, emit, emit_json, is_terminal, message
from orchestrator.cli.question import ask
from orchestrator.cli.screen import Screen
from orchestrator.document import parse
from orchestrator.errors import JournalError, RefusedError
from orchestrator.events import Audience
from orchestrator.inventory import Inventory, fold
from orchestrator.items import Lists
from orchestrator.journal.create import Header, create
from orchestrator.journal.lock import RunLock, holder
from orchestrator.journal.run_file import RunFile
from orchestrator.journal.schema import in_transaction, keep_limits
from orchestrator.journal.store import discard
from orchestrator.plan import Plan, build_plan
from orchestrator.report import Report, make_report
from orchestrator.source import Source
from orchestrator.units import Share, parse_share
from orchestrator.values import given_values
from orchestrator.views.words import safe

LEAST_FILES = 20  # a run file, its log, its lock, the event loop, and a few requests
MOST_FILES = 65_536


@dataclass(frozen=True)
class Options:
    """How a run is shown and limited.

    Attributes:
        in_flight, rate, max_failed: limits of the command line; a run keeps them until others are given.
    """

    form: str = "text"
    verbose: int = 0
    in_flight: int | None = None
    rate: float | None = None
    max_failed: str | None = None
    force: bool = False
    yes: bool = False
    quiet: bool = False
    quiet_end: bool = False

    def __post_init__(self) -> None:
        self.share()

    def share(self) -> Share | None:
        """--max-failed as a value.

        Raises:
            click.UsageError: it is none.
        """
        if self.max_failed is None:
            return None
        try:
            return parse_share(self.max_failed)
        except ValueError as error:
            raise click.UsageError(f"--max-failed: {error}") from None

    @property
    def limits(self) -> dict[str, Any]:
        """The limits that were given, by name."""
        named = {"in_flight": self.in_flight, "rate": self.rate, "max_failed": self.max_failed}
        return {name: value for name, value in named.items() if value is not None}

    def with_kept(self, kept: Mapping[str, Any]) -> Options:
        """These options, with the limits that a run keeps where none were given."""
        return replace(self, **{**kept, **self.limits})


def make_plan(app: App, source: Source, given: Mapping[str, str], limit: str | None = None) -> tuple[Plan, Header]:
    """A plan, and what its run file will say of it."""
    allow_open_files()
    inventory = app.inventory
    lists = Lists()
    values = given_values(source, given, inventory, lists)
    plan = build_plan(source, inventory, values, limit=limit, lists=lists)
    kept = {name: _kept(source, name, text, values[name]) for name, text in given.items()}
    return plan, Header(time.time_ns() // 1_000_000, kept, str(app.config.path), limit or "")


@contextmanager
def planned_run(app: App, plan: Plan, header: Header) -> Iterator[Path]:
    """A new run file; it is not kept when the context ends with an error, since nothing was sent then."""
    app.store.prepare()
    path = create(app.store.new_names(plan.source.playbook.name), plan, header, planned_so_far)
    try:
        yield path
    except BaseException:
        discard(path)
        raise


def planned_so_far(count: int) -> None:
    """Tell the operator that a long planning goes on."""
    message(f"planning: {count} operations so far")


def _kept(source: Source, name: str, text: str, value: Any) -> str:
    """A parameter's text as it can be read again from another directory."""
    return str(value) if source.playbook.parameters[name].type in {"file", "users"} else text


def allow_open_files() -> None:
    """As many open files as the system lets this process have: each request on the wire is one.

    Raises:
        JournalError: they are too few to begin with.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < LEAST_FILES:
        raise JournalError(f"this process may have {soft} open files, too few to begin with", hint="ulimit -n 1024")
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def scratch_run(plan: Plan, header: Header) -> Iterator[RunFile]:
    """A run file that is only looked at."""
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-"))
    try:
        path = create([("plan", folder / "plan.run")], plan, header, planned_so_far)
        with RunFile(path) as file:
            yield file
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def plan_again(app: App, file: RunFile) -> Plan:
    """The plan of a run file, from the text that it keeps and the fleet as it is now.

    Raises:
        RefusedError: the fleet's hosts or groups are not those that the plan was made for.
    """
    text, source_name, folder = (file.meta[f"playbook_{part}"] for part in ("text", "source", "folder"))
    source = Source(parse(text, source=source_name, folder=Path(folder)))
    app.use_config(file.meta["config_path"])
    inventory = app.inventory
    differences = list(_differences(file, inventory))
    if differences:
        raise RefusedError(
            f"the fleet has changed since run {file.run_id} was planned: {'; '.join(differences[:5])}",
            hint="plan again, or give the configuration that it was planned with (-c)",
        )
    lists = Lists(file.lists())
    values = given_values(source, file.given, inventory, lists)
    return build_plan(source, inventory, values, limit=file.meta["limit"] or None, lists=lists)


def _differences(file: RunFile, inventory: Inventory) -> Iterator[str]:
    now = {host.name: host.endpoint.url for host in inventory.hosts.values()}
    for name, url in file.urls().items():
        if name not in now:
            yield f"the host {name} is gone"
        elif now[name] != url:
            yield f"{name} was {url} and is {now[name]}"
    yield from (f"the host {name} is new" for name in now if name not in file.host_numbers)
    for group, members in file.groups().items():
        if members != list(inventory.groups.get(group, ())):
            yield f"the group {group} has other members"


def confirm(plan: Plan, file: RunFile, *, yes: bool) -> None:
    """Ask before anything is changed.

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
    if not ask(_what_is_asked(plan, file)):
        raise RefusedError("not confirmed; nothing was sent")


def _what_is_asked(plan: Plan, file: RunFile) -> str:
    """The question names what is about to happen: the plan itself may have left the screen."""
    values = " ".join(f"{name}={safe(text, 60)}" for name, text in file.given.items())
    changed = fold(name for name in plan.inventory.hosts if name in file.changes())
    impact = [step.key for step in plan.of("step") if step.disturbs]
    about = f"user impact in step{'s' if len(impact) > 1 else ''} {', '.join(impact)}" if impact else "no user impact"
    name = " ".join([plan.source.playbook.name, *([f"({values})"] if values else [])])
    return f"{name}: changes {changed}; {about}; digest {file.meta['digest']}. Run it?"


def begin(app: App, path: Path, options: Options, still: Callable[[RunFile], None] | None = None) -> int:
    """Work on a run file that was just made; one that is refused before anything was sent is not kept."""
    try:
        return work(app, path, options, still=still)
    except RefusedError:
        with RunFile(path) as file:
            begun = bool(file.events())
        if not begun:
            discard(path)
        raise


def work(
    app: App,
    path: Path,
    options: Options,
    *,
    prepare: Callable[[sqlite3.Connection], object] | None = None,
    still: Callable[[RunFile], None] | None = None,
) -> int:
    """Work on a run file until it is done or stopped; returns the exit code.

    Args:
        app: the global options.
        path: the run file.
        options: how it is shown and limited; `quiet` shows nothing, `quiet_end` leaves the end to the caller.
        prepare: what is done to the run file first, under the lock (`retry`).
        still: raises when what was so before the lock was taken is so no more.
    """
    allow_open_files()
    with RunLock(path), RunFile(path) as file:
        _check(file)
        plan = plan_again(app, file)
        if not options.force:
            _refuse_overlap(app, file)
        if still:
            still(file)
        options = options.with_kept(file.limits)
        caught = anyio.run(_session, app, plan, file, options, prepare, backend_options={"use_uvloop": _has_uvloop()})
        report = make_report(file)
    with beside_the_point():
        _show_end(app, report, options)
    code = exit_codes.of_status(report.status)
    return 128 + caught if caught and code == exit_codes.INTERRUPTED else code


def _check(file: RunFile) -> None:
    """Look for damage, and meanwhile import what the work needs: both take long, and have no use for the same core."""
    with ThreadPoolExecutor(1) as beside:
        checked = beside.submit(file.check)
        import_module("orchestrator.runner")
        checked.result()


def _refuse_overlap(app: App, file: RunFile) -> None:
    """Two runs that change the same hosts at a time spoil each other's checks and undo.

    Raises:
        RefusedError: names the other run and who works on it.
    """
    for run_id in app.store.ids():
        path = app.store.path(run_id)
        who = holder(path) if path.resolve() != file.path.resolve() else ""
        if not who:
            continue
        with RunFile(path) as other:
            shared = sorted(file.changes() & other.changes())
        if shared:
            raise RefusedError(
                f"run {run_id} is changing {fold(shared)} at this moment ({who})",
                hint="wait for it, stop it with Ctrl-C there, or give --force if the two cannot disturb each other",
            )


def _has_uvloop() -> bool:
    from importlib.util import find_spec

    return find_spec("uvloop") is not None


async def _session(
    app: App,
    plan: Plan,
    file: RunFile,
    options: Options,
    prepare: Callable[[sqlite3.Connection], object] | None,
) -> int:
    """Run with the signals attended to; returns the signal that stopped it, or 0."""
    from orchestrator.dovecot.client import Client
    from orchestrator.runner import Runner

    limits = app.config.file.limits
    changes = {"in_flight": options.in_flight, "rate": options.rate}
    limits = limits.model_copy(update={name: value for name, value in changes.items() if value is not None})
    screen = Screen(options.form, options.verbose, quiet=options.quiet, yes=options.yes)
    caught: list[int] = []
    gc.freeze()  # what is here now stays
    try:
        async with Client(host.endpoint for host in plan.inventory.hosts.values()) as client:
            in_transaction(file.path, partial(_prepare, options.limits, prepare))  # now that nothing is missing
            runner = Runner(
                plan,
                file,
                client,
                screen.audience,
                limits,
                app.config.file.retry,
                max_failed=options.share(),
                approve=screen.approve,
            )
            async with anyio.create_task_group() as group:
                await group.start(_attend, runner, caught, screen.audience)
                await runner.run()
                group.cancel_scope.cancel()
    finally:
        screen.finish()
    return caught[0] if caught else 0


def _prepare(
    limits: Mapping[str, Any], prepare: Callable[[sqlite3.Connection], object] | None, connection: sqlite3.Connection
) -> None:
    """What is done to a run file before a session: its limits are kept, and what `retry` sends is reopened."""
    keep_limits(connection, limits)
    if prepare:
        prepare(connection)


async def _attend(
    runner: Any, caught: list[int], audience: Audience, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    """First signal: send nothing more. Second: wait for no answer. Third: die; the run file is valid all the same."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP:  # the terminal is gone; the work goes on
                continue
            caught.append(number)
            if len(caught) == 1:
                text = "stopping: nothing more is sent; waiting for answers (again: do not wait for them)"
                runner.interrupt(f"stopped by {signal.Signals(number).name}")
            elif len(caught) == 2:
                text = "not waiting for answers any more (again: exit at once)"
                runner.cancel()
            else:
                os._exit(128 + number)
            audience.note(text)


def _show_end(app: App, report: Report, options: Options) -> None:
    from orchestrator.views.report_text import summary_lines

    if options.form == "json":
        emit_json({"event": "report", **report_object(report, app.program)})
        return
    if options.quiet or options.quiet_end:
        return
    for text in summary_lines(report, app.program):
        emit(text)


def report_object(report: Report, program: str) -> dict[str, Any]:
    """A report as plain values."""
    return {
        "run": report.run_id,
        "playbook": report.playbook,
        "status": report.status,
        "reason": report.reason,
        "digest": report.digest,
        "parameters": dict(report.given),
        "planned": report.planned,
        "counts": {state.word: number for state, number in report.counts.items()},
        "attempts": report.attempts,
        "retries": report.retries,
        "started_at": report.started,
        "finished_at": report.finished,
        "steps": [
            {
                "step": step.key,
                "name": step.name,
                "command": step.command,
                "state": step.state,
                "reason": step.reason,
                "counts": {state.word: number for state, number in step.counts.items()},
            }
            for step in report.steps
        ],
        "causes": [
            {"step": c.step, "state": c.state.word, "error": c.error, "count": c.count, "host": c.host}
            for c in report.causes
        ],
        "found": [{"step": step, "text": text} for step, text in report.found],
        "next": report.next_command(program),
    }
