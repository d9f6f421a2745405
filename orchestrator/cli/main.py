"""Parse, dispatch, and turn whatever happens into one clear message and an exit code."""

from __future__ import annotations

import errno
import importlib
import re
from collections.abc import Iterator, Sequence

import click

from orchestrator.cli import exit_codes
from orchestrator.cli.app import App
from orchestrator.cli.output import OutputLostError, beside_the_point, close, emit_json, message
from orchestrator.cli.suggest import NoVerbError, hint
from orchestrator.errors import OrchestratorError
from orchestrator.version import __version__

# verb -> module; the order is that of `--help`
VERBS = {
    "demo": "demo",
    "check": "check",
    "commands": "commands",
    "playbooks": "playbooks",
    "validate": "validate",
    "schema": "validate",
    "plan": "plan",
    "review": "review",
    "diff": "diff",
    "apply": "apply",
    "run": "run",
    "exec": "exec",
    "resume": "resume",
    "retry": "resume",
    "decide": "decide",
    "runs": "runs",
    "show": "show",
    "report": "report",
    "export": "export",
    "simulate": "simulate",
}

_SUMMARIES = {
    "demo": "Drain a backend of a simulated fleet, to see how it works.",
    "check": "Reach every host, authenticate, and show its version.",
    "commands": "What the doveadm HTTP API can do.",
    "playbooks": "What the shipped playbooks do.",
    "validate": "Check playbooks without a fleet.",
    "schema": "Print the JSON Schema of playbooks, configuration or policy.",
    "plan": "Show all that a playbook would do. Sends nothing.",
    "review": "A saved plan, for those who decide about it.",
    "diff": "Show how two saved plans differ, or a plan from now.",
    "apply": "Run a saved plan, exactly.",
    "run": "Plan a playbook, ask, and run it.",
    "exec": "Send one command to hosts.",
    "resume": "Continue a run that was interrupted or stopped.",
    "retry": "Send again what failed in a run.",
    "decide": "Settle operations that are in doubt.",
    "runs": "List runs.",
    "show": "Show a run, or one of its operations.",
    "report": "Print the report of a run.",
    "export": "Write a run's operations as JSON lines or CSV.",
    "simulate": "Start a simulated fleet to practise on.",
}

_OUTPUT = {errno.ENOSPC, errno.EIO, errno.EPIPE, errno.EDQUOT}
_VERB = re.compile(rf"\borchestrator(?= (?:{'|'.join(VERBS)})\b)")  # hints name verbs; they are typed as this one was

_EPILOG = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in exit_codes.MEANINGS.items())


class _Verbs(click.Group):
    """Imports a verb's module when it is called, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"orchestrator.cli.{VERBS[cmd_name]}")
        command: click.Command = module.COMMANDS[cmd_name]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that is called; a word that is none is an error of its own, for its hint."""
        if args[0] not in VERBS and not args[0].startswith("-"):
            raise NoVerbError(args[0], ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_SUMMARIES.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(
            "\nExamples:\n"
            "  orchestrator demo\n"
            "  orchestrator check backends\n"
            "  orchestrator playbooks\n"
            "  orchestrator plan drain-backend -e backend=b1\n"
            "  orchestrator run drain-backend -e backend=b1\n"
            "  orchestrator exec backends who\n"
            "  orchestrator resume\n"
            f"\nExit codes:\n{_EPILOG}\n"
        )


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="orchestrator")
@click.option("-c", "--config", metavar="FILE", help="The fleet (default: ORCHESTRATOR_CONFIG, ./config.yaml, ...).")
@click.option("--state-dir", metavar="DIR", help="Where runs are kept (default: ORCHESTRATOR_STATE_DIR, ...).")
@click.pass_context
def cli(context: click.Context, config: str | None, state_dir: str | None) -> None:
    """Bulk operations on Dovecot fleets: plan them, run them, and go on where they stopped."""
    context.obj.take(config, state_dir)


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    app = App()
    try:
        result = cli.main(args=list(arguments), prog_name="orchestrator", standalone_mode=False, obj=app)
        close()
    except click.exceptions.NoArgsIsHelpError as error:
        message(error.format_message())
        return exit_codes.BAD_INPUT
    except click.ClickException as error:
        words = _VERB.sub(lambda _: app.program, hint(error, arguments, list(VERBS)))
        _say(error.format_message(), words, exit_codes.BAD_INPUT, arguments)
        return exit_codes.BAD_INPUT
    except (click.Abort, KeyboardInterrupt):
        message("stopped")
        return exit_codes.INTERRUPTED
    except OSError as error:
        if error.errno not in _OUTPUT:
            return _of_error(error, arguments, app.program)
        return _output_lost(OutputLostError(error))  # of click's own: --help, --version
    except SystemExit as end:
        if end.code == 1:  # how click ends when nobody reads its --help
            return exit_codes.READER_GONE
        raise
    except Exception as error:  # noqa: BLE001 - the last resort: anything else is a bug of ours
        return _of_error(error, arguments, app.program)
    return result if isinstance(result, int) else exit_codes.DONE


def _say(text: str, hint: str, code: int, arguments: Sequence[str]) -> None:
    if "json" in arguments:
        with beside_the_point():
            emit_json({"event": "error", "message": text, "hint": hint, "exit_code": code})
    message(f"error: {text}")
    if hint:
        message(hint if "\n" in hint else f"hint: {hint}")


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """What went wrong, without the task groups that wrapped it."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def _of_error(error: Exception, arguments: Sequence[str], program: str) -> int:
    """Tell what ended the program, and give the exit code of it."""
    causes = list(_leaves(error))
    for cause in causes:
        if isinstance(cause, OutputLostError):
            return _output_lost(cause)
    for cause in causes:
        if isinstance(cause, OrchestratorError):
            code = exit_codes.of_error(cause)
            _say(cause.message, _VERB.sub(lambda _: program, cause.hint), code, arguments)
            return code
    return _bug(error, causes[0], arguments)


def _output_lost(error: OutputLostError) -> int:
    if error.reader_gone:  # whoever closed the pipe has seen enough, as `| head` does
        return exit_codes.READER_GONE
    message(f"error: the output cannot be written: {error}")
    return exit_codes.NO_OUTPUT


def _bug(error: Exception, first: BaseException, arguments: Sequence[str]) -> int:
    import traceback

    frame = traceback.extract_tb(first.__traceback__)[-1]
    words = f"a bug in this program: {type(first).__name__}: {first} ({frame.filename}:{frame.lineno})"
    hint = "what was recorded of a run is safe; `-vv` shows the traceback; please report it"
    _say(words, hint, exit_codes.BUG, arguments)
    if "-vv" in arguments:
        message("".join(traceback.format_exception(error)).rstrip())
    return exit_codes.BUG
