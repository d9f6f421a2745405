"""simulate."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import click

from orchestrator.cli import exit_codes
from orchestrator.cli.output import emit, message

if TYPE_CHECKING:
    from orchestrator.simulator import RunningFleet


@click.command("simulate", short_help="Start a simulated fleet to practise on.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default="simulated")
@click.option("--directors", type=click.IntRange(0, 50), default=2, show_default=True, help="How many directors.")
@click.option("--backends", type=click.IntRange(1, 250), default=3, show_default=True, help="How many backends.")
@click.option(
    "--users", type=click.IntRange(0, 1_000_000), default=60, show_default=True, help="Users with a live session."
)
@click.option(
    "--accounts", type=click.IntRange(0, 10_000_000), default=200, show_default=True, help="Users that exist."
)
@click.option(
    "--time-scale",
    type=click.FloatRange(0.001, 10),
    default=1.0,
    show_default=True,
    help="0.1 is ten times faster than Dovecot.",
)
@click.option(
    "--version",
    type=click.Choice(["2.3", "2.4", "2.4.5"]),
    default="2.3",
    show_default=True,
    help="Dovecot's version family.",
)
@click.option(
    "--fault", "faults", multiple=True, metavar="RULE", help="Inject a fault, such as command=kick,rate=0.3,exit=75."
)
@click.option("--latency", type=click.FloatRange(0, 60), default=0.0, help="Seconds that every command takes.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port of the API.")
@click.option("--network", metavar="127.X", help="Loopback network (default: a free one).")
@click.option(
    "--record", type=click.Path(dir_okay=False, path_type=Path), help="Write every request that arrives to this file."
)
def simulate(folder: Path, record: Path | None, faults: tuple[str, ...], **spec: object) -> int:
    """Start a simulated fleet on loopback addresses, and write its config.yaml to FOLDER. Ends with Ctrl-C.

    \b
    Examples:
      orchestrator simulate
      orchestrator -c simulated/config.yaml check          # in another terminal
      orchestrator simulate --backends 20 --users 500 --fault host=b3,hang
    """
    from orchestrator.errors import InputError
    from orchestrator.simulator import FleetSpec

    try:
        fleet = FleetSpec(faults=faults, record=record, **spec)  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError.at(str(error), "simulate") from None
    anyio.run(_serve, fleet, folder)
    return exit_codes.DONE


async def _serve(spec: object, folder: Path) -> None:
    from orchestrator.errors import RefusedError
    from orchestrator.simulator import FleetSpec, serve

    assert isinstance(spec, FleetSpec)  # noqa: S101
    try:
        async with serve(spec) as fleet:
            path = folder / "config.yaml"
            emit(_write_config(fleet, path))
            message(f"serving; the configuration is in {path}: orchestrator -c {path} check")
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    break
    except OSError as error:
        raise RefusedError(f"cannot serve: {error}") from None
    message("stopped")


def _write_config(fleet: RunningFleet, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = fleet.config(path.parent.resolve())
    path.write_text(text, encoding="utf-8")
    return text.rstrip()


COMMANDS = {"simulate": simulate}
