"""`python -m orchestrator` and the console script."""

import gc
import os
import signal
import sys
from types import FrameType


def _terminated(number: int, _frame: FrameType | None) -> None:
    """A signal where nothing else attends to it (while planning): what was begun is cleaned up on the way out."""
    raise SystemExit(128 + number)


def _collect_seldom() -> None:
    """Look for cyclic garbage after tens of thousands of new objects, a few hundred requests' worth, and not after 700.

    A request leaves none; looking for it as often as usual costs a run a sixth of its time, and a start a twentieth.
    """
    gc.set_threshold(50_000, 20, 50)


def main() -> None:
    """Run the command line; exits with the code of the table in `cli/exit_codes.py`."""
    _collect_seldom()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # what else is installed here has no business in it
    os.umask(0o077)  # run files, plans and their side files are for their owner alone
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup has it ignored
        signal.signal(signal.SIGHUP, _terminated)
    try:
        from orchestrator.cli import output  # noqa: PLC0415 - what only the command line needs is imported by it
        from orchestrator.cli.main import run  # noqa: PLC0415
    except KeyboardInterrupt:  # nothing was begun
        sys.exit(128 + signal.SIGINT)

    output.prepare()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
