"""What people and programs see of a run while it goes on: events in, text out."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from orchestrator.events import AttemptEnded, Event, Note, Observer, Progress, Question, StepEnded, StepStarted
from orchestrator.outcome import Kind, Outcome, State
from orchestrator.views.jsonl import JsonLines
from orchestrator.views.lines import SHOWN_PER_STEP, Lines
from orchestrator.views.live import Live
from orchestrator.views.words import count, json_text, lasts, safe, states

ESCAPE = "\x1b[2J\u202e"
STARTED = StepStarted("2", "Kick them", "kick", "b[1-2]", 4)
ENDED = StepEnded("2", "Kick them", "done", "", {State.DONE: 4}, 1.25)
STOPPED = StepEnded("2", "Kick them", "running", "Ctrl-C", {State.DONE: 1, State.PENDING: 3}, 0.0)
PROGRESS = Progress(2, 3, "Kick them", 400, 100, 2, 0, 7, 3, 50.4, 6.0, 12.0, 8.0, f"b1 does not answer {ESCAPE}")


def attempt(
    state: State = State.DONE, kind: Kind = Kind.DONE, error: str = "", *, pause: float = 0.0, seq: int = 1
) -> AttemptEnded:
    """An attempt's end."""
    outcome = Outcome(kind, exit_code=75 if kind is Kind.TEMPORARY else None, error=error)
    return AttemptEnded(f"2.{seq}", "2", "b1", "kick", '{"mask":["ü"]}', 1, outcome, state, pause, 0.5)


RETRIED = attempt(State.PENDING, Kind.TEMPORARY, "exit code 75: busy", pause=0.8)
FAILED = attempt(State.FAILED, Kind.FAILED, f"no\nsuch user {ESCAPE}")
EVERYTHING: list[Event] = [
    STARTED,
    attempt(),
    RETRIED,
    FAILED,
    PROGRESS,
    Note(f"careful {ESCAPE}"),
    Question("sure?"),
    STOPPED,
    ENDED,
]


# lines


def lines(*events: Event, verbose: int = 0) -> list[str]:
    """What is written of events, without the time of day."""
    out = io.StringIO()
    view = Lines(out, verbose=verbose)
    for event in events:
        view.tell(event)
    view.close()
    found = out.getvalue().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d  ", line) for line in found)
    return [line[10:] for line in found]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (STARTED, "step 2         Kick them  kick on b[1-2], 4 requests"),
        (StepStarted("3", "Wait", "", "", 0), "step 3         Wait"),
        (ENDED, "     2         done  (4 done in 1.2s)"),
        (STOPPED, "     2         stopped: Ctrl-C  (3 pending, 1 done)"),
        (PROGRESS, "  100/400 done, 2 failed, 7 in flight, 3 waiting to retry, 50/s, 6s left; b1 does not answer \\x1b[2J\\x202e"),
        (Note("two\nlines"), "two lines"),
    ],
)  # fmt: skip
def test_each_event_is_a_line(event: Event, line: str) -> None:
    """A step's begin and end, how it stands, and what the operator should know are a line each."""
    assert lines(event) == [line]


@pytest.mark.parametrize(
    ("verbose", "shown"),
    [(0, ["failed"]), (1, ["retry", "failed"]), (2, ["done", "retry", "failed"])],
)
def test_more_is_shown_when_more_is_wanted(verbose: int, shown: list[str]) -> None:
    """Failures are always shown, retries with -v, every attempt with -vv."""
    found = lines(STARTED, attempt(), RETRIED, FAILED, verbose=verbose)[1:]
    assert [next(word for word in ("retry", "failed", "done") if f": {word}" in line) for line in found] == shown
    if verbose:
        assert '  2.1 kick on b1 {"mask":["ü"]}: retry in 800ms: exit code 75: busy' in found


def test_a_storm_of_failures_does_not_fill_the_screen() -> None:
    """Of a step's failures the first few are shown, and where the others are; the next step starts again."""
    bad = [attempt(State.FAILED, Kind.FAILED, "no", seq=seq) for seq in range(1, 50)]
    found = lines(STARTED, *bad)
    assert len(found) == 1 + SHOWN_PER_STEP + 1
    assert found[-1] == "  further failures of this step are in the report"
    assert len(lines(STARTED, *bad, STARTED, *bad)) == 2 * len(found)


# live


def live(*events: Event, width: int = 200) -> str:
    """What a terminal was sent."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=20, highlight=False, color_system=None)
    view = Live(console)
    for event in events:
        view.tell(event)
    view.close()
    view.close()
    return out.getvalue()


def test_the_bar_shows_how_the_step_stands() -> None:
    """The step at hand has its numbers, what it waits for, and its place among all."""
    found = live(STARTED, PROGRESS)
    for part in (
        "▶ 2",
        "Kick them  kick on b[1-2]",
        "100/400",
        "2 failed",
        "7 in flight",
        "50/s",
        "3 waiting to retry",
        "6s left",
        "8s",
        "1 of 3 steps and checks done",
        "b1 does not answer",
    ):
        assert part in found


def test_what_is_over_stays_above_the_bar() -> None:
    """Each step that ended is a line with its mark; the first failures stand there too."""
    found = live(
        STARTED, FAILED, RETRIED, ENDED, StepEnded("3", "Next", "failed", "1 operation failed", {State.FAILED: 1}, 2.0)
    )
    assert "✓ 2         Kick them  4 done, 1.2s" in found
    assert "✗ 3         Next  1 failed, 2s  1 operation failed" in found
    assert "2.1 kick on b1" in found
    assert "exit code 75" not in found


def frames(*events: Event, width: int, encoding: str = "utf-8", color: str | None = None) -> str:
    """What a terminal of a width and an encoding was sent."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", newline="")
    console = Console(file=out, force_terminal=True, width=width, height=24, color_system=color, highlight=False)  # type: ignore[arg-type]
    view = Live(console)
    for event in events:
        view.tell(event)
    view.close()
    out.flush()
    return raw.getvalue().decode(encoding)


LONG = StepStarted(
    "3[1].3.verify",
    "batch 1 of 3 (b1): a step whose name is longer – ü – than " + "most terminals " * 9,
    "who",
    "b1",
    4,
)
WIDE = Progress(13, 20, "x", 400_000, 100_000, 2_000, 0, 100, 300, 1050.4, 6000.0, 12.0, 8.0, "waiting for b3 " * 30)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "iso-8859-1"])
@pytest.mark.parametrize("width", [40, 60, 80, 132])
def test_no_line_of_the_display_goes_on_in_the_next(width: int, encoding: str) -> None:
    """The bar and all about it fit into the terminal, in every locale: else what was wrapped stays when the bar moves on."""
    shown = frames(LONG, WIDE, StepStarted("4", "Next", "who", "b1", 1), WIDE, width=width, encoding=encoding)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))
    assert max(map(len, lines)) <= width
    assert any("12 of 20 steps" in line for line in lines)
    assert ("▶" in shown) == (encoding == "utf-8")


def test_the_bar_can_be_read_without_colours_and_on_every_background() -> None:
    """What is done differs by its shape from what is not; colours are those that each terminal chooses for itself."""
    assert re.search(r" ━{8}╌{24} ", frames(STARTED, PROGRESS, width=150))
    coloured = frames(STARTED, FAILED, PROGRESS, Note("n"), ENDED, STOPPED, width=150, color="truecolor")
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", coloured) for code in found.split(";")}
    assert codes <= {"", "0", "1", "31", "32", "33", "36"}, codes


@pytest.mark.parametrize(
    ("event", "mark"),
    [
        (ENDED, "✓ 2 "),
        (StepEnded("2", "Kick", "done", "", {State.DONE: 3, State.FAILED: 1}, 1.0), "! 2 "),
        (StepEnded("2", "Kick", "done", "", {State.UNREACHABLE: 1}, 1.0), "! 2 "),
        (StepEnded("2", "Kick", "failed", "no", {State.FAILED: 1}, 1.0), "✗ 2 "),
        (StepEnded("3[1].3.verify", "batch", "done", "", {}, 1.0), "✓ 3[1].3.verify batch"),
    ],
)
def test_the_mark_of_a_step_says_how_it_ended(event: StepEnded, mark: str) -> None:
    """A step is marked as good only if nothing failed in it; number and name stand apart."""
    assert mark in live(STARTED, event)


def test_the_bar_is_away_while_the_operator_is_asked() -> None:
    """A question stands alone on its line; the bar comes back with the next step."""
    assert live(STARTED, PROGRESS, Question("sure?")).count("▶ 2") == live(STARTED, PROGRESS).count("▶ 2")
    assert "▶ 3" in live(STARTED, Question("sure?"), StepStarted("3", "Next", "", "", 0))


# JSON lines


def test_each_event_is_an_object() -> None:
    """Every event is one line of JSON with its kind; states and times are values, not sentences."""
    out = io.StringIO()
    view = JsonLines(out)
    for event in EVERYTHING:
        view.tell(event)
    view.close()
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [value["event"] for value in found] == [
        "step_started", "attempt", "attempt", "attempt", "progress", "note", "question", "step_ended", "step_ended"
    ]  # fmt: skip
    assert found[0] == {
        "event": "step_started",
        "step": "2",
        "name": "Kick them",
        "command": "kick",
        "hosts": "b[1-2]",
        "operations": 4,
    }
    assert found[2] == {
        "event": "attempt", "id": "2.1", "step": "2", "host": "b1", "command": "kick", "parameters": {"mask": ["ü"]}, "attempt": 1,
        "outcome": "temporary", "exit_code": 75, "error": "exit code 75: busy", "changed": None, "state": "pending", "pause": 0.8, "seconds": 0.5,
    }  # fmt: skip
    assert found[4] == {
        "event": "progress", "step": "Kick them", "done": 100, "total": 400, "failed": 2, "in_flight": 7, "rate": 50.4, "left": 6.0,
        "waiting_for": f"b1 does not answer {ESCAPE}",
    }  # fmt: skip
    assert found[7]["counts"] == {"done": 1, "pending": 3}


# all of them


def as_lines(out: io.StringIO) -> Observer:
    """Plain lines."""
    return Lines(out, verbose=2)


def as_live(out: io.StringIO) -> Observer:
    """The live display."""
    return Live(Console(file=out, force_terminal=True, width=300, highlight=False, color_system=None))


@pytest.mark.parametrize("view", [as_lines, as_live, JsonLines])
def test_what_a_host_says_does_nothing_to_the_terminal(view: Callable[[io.StringIO], Observer]) -> None:
    """Control characters of hosts and playbooks are never sent to a terminal; nor is any event unknown to a view."""
    out = io.StringIO()
    observer = view(out)
    for event in EVERYTHING:
        observer.tell(event)
    observer.close()
    text = out.getvalue()
    assert "\x1b[2J" not in text
    if view is not JsonLines:
        assert "\u202e" not in text
        assert "\\x1b[2J" in text


ODD: list[Event] = [
    StepStarted(f"2{ESCAPE}", ESCAPE, ESCAPE, ESCAPE, 4),
    AttemptEnded(ESCAPE, "2", ESCAPE, ESCAPE, json.dumps({ESCAPE: ESCAPE}), 1, Outcome(Kind.FAILED, error=ESCAPE), State.FAILED, 0.0, 0.5),
    Progress(2, 3, ESCAPE, 400, 100, 2, 0, 7, 3, 50.4, 6.0, 12.0, 8.0, ESCAPE),
    Note(ESCAPE),
    Question(ESCAPE),
    StepEnded(f"2{ESCAPE}", ESCAPE, "failed", ESCAPE, {State.FAILED: 4}, 1.25),
]  # fmt: skip


@pytest.mark.parametrize("view", [as_lines, as_live, JsonLines])
@pytest.mark.parametrize("event", ODD, ids=lambda event: type(event).__name__)
def test_no_field_of_an_event_does_anything_to_a_terminal(
    view: Callable[[io.StringIO], Observer], event: Event
) -> None:
    """Whichever field it comes in: names, hosts, commands, parameters, reasons and errors are written out."""
    out = io.StringIO()
    observer = view(out)
    observer.tell(STARTED)
    observer.tell(event)
    observer.close()
    assert "\x1b[2J" not in out.getvalue()
    assert "\u202e" not in out.getvalue()


# words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a b c"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\u202egnp.exe", "\\x202egnp.exe"),
        ("x" * 500, "x" * 399 + "…"),
        ("ü – 日本", "ü – 日本"),
    ],
)
def test_text_from_elsewhere_is_made_safe(text: str, shown: str) -> None:
    """One line, no control characters, no end of the screen."""
    assert safe(text) == shown


def test_small_words() -> None:
    """Numbers agree with their nouns, states come in their order, and JSON fits the locale's encoding."""
    assert [count(number, "request") for number in (0, 1, 2)] == ["0 requests", "1 request", "2 requests"]
    assert states({State.IN_DOUBT: 1, State.DONE: 2, State.FAILED: 0}) == "2 done, 1 in doubt"
    assert states(None) == ""
    assert [json_text({"a": "ü"}, encoding) for encoding in ("UTF-8", "utf8", "ascii")] == [
        '{"a": "ü"}', '{"a": "ü"}', '{"a": "\\u00fc"}'
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.0, 0.999, "less than 1 s"),
        (0.4, 2.01, "at most 3 s"),
        (1.9, 2.01, "1 to 3 s"),
        (40.0, 75.0, "40 to 75 s"),
        (61.0, 99.9, "61 to 100 s"),
        (90.0, 240.0, "1.5 to 4 min"),
        (181.0, 425.0, "3 to 7.1 min"),
        (901.0, 5999.0, "15 to 100 min"),
        (2.0, 130.0, "at most 2.2 min"),
        (5400.0, 7200.0, "1.5 to 2 h"),
        (90000.0, 180000.0, "25 to 50 h"),
        (300.0, 300.0, "about 5 min"),
    ],
)
def test_a_range_of_time_is_never_narrower_in_words(low: float, high: float, words: str) -> None:
    """The low end is rounded down and the high end up, in the unit of the high end."""
    assert lasts(low, high) == words
