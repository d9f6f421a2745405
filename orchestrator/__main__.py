"""`python -m orchestrator` and the console script."""

import os
import signal
import sys
from types import FrameType


def _terminated(number: int, _frame: FrameType | None) -> None:
    """SIGTERM where nothing else attends to it (while planning): what was begun is cleaned up on the way out."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run the command line; exits with the code of the table in `cli/exit_codes.py`."""
    os.umask(0o077)  # run files, plans and their side files are for their owner alone
    signal.signal(signal.SIGTERM, _terminated)
    from orchestrator.cli.main import run  # noqa: PLC0415 - what only the command line needs is imported by it

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
