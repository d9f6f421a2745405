"""`python -m orchestrator` and the console script."""

import os
import sys


def main() -> None:
    """Run the command line; exits with the code of the table in `cli/exit_codes.py`."""
    os.umask(0o077)  # run files, plans and their side files are for their owner alone
    from orchestrator.cli.main import run  # noqa: PLC0415 - what only the command line needs is imported by it

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
