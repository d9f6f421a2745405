"""The one table from how something ended to the exit code."""

from __future__ import annotations

from orchestrator.errors import InputError, JournalError, OrchestratorError, RefusedError, RunNotFoundError, SecretError
from orchestrator.status import Status

DONE = 0
FAILED = 1
BAD_INPUT = 2
STOPPED = 3
IN_DOUBT = 4
REFUSED = 5
BUG = 70
NO_OUTPUT = 74
INTERRUPTED = 130  # SIGINT; SIGTERM is 143
READER_GONE = 141  # as a program that SIGPIPE ended

MEANINGS = {
    DONE: "everything done",
    FAILED: "finished, some operations failed or were unreachable",
    BAD_INPUT: "bad usage, playbook, configuration or inventory",
    STOPPED: "stopped with work left; the message names the command to continue with",
    IN_DOUBT: "operations in doubt wait for a decision",
    REFUSED: "refused: condition false, locked, not confirmed or approved, protected host, changed fleet, outside the window",
    BUG: "a bug in this program",
    NO_OUTPUT: "the output cannot be written (a verb that only prints)",
    INTERRUPTED: "stopped by SIGINT, cleanly; resumable (143 for SIGTERM)",
    READER_GONE: "the reader of the output closed the pipe (a verb that only prints)",
}

_OF_ERRORS: list[tuple[type[OrchestratorError], int]] = [
    (RefusedError, REFUSED),
    (JournalError, STOPPED),
    (InputError, BAD_INPUT),
    (RunNotFoundError, BAD_INPUT),
    (SecretError, BAD_INPUT),
    (OrchestratorError, BAD_INPUT),
]

_OF_STATUS = {
    Status.DONE: DONE,
    Status.FAILED: FAILED,
    Status.UNDONE: FAILED,
    Status.STOPPED: STOPPED,
    Status.IN_DOUBT: IN_DOUBT,
    Status.NOT_STARTED: REFUSED,
    Status.REFUSED: REFUSED,
    Status.INTERRUPTED: INTERRUPTED,
}


def of_error(error: OrchestratorError) -> int:
    """The exit code of an error."""
    return next(code for kind, code in _OF_ERRORS if isinstance(error, kind))


def of_status(status: Status) -> int:
    """The exit code of how a session ended."""
    return _OF_STATUS[status]
