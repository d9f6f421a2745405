"""What a review says of steps: what is done, what is checked, what takes it back, and every request.

Batches do the same to other hosts: the first is shown, of the others what differs.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from orchestrator.review.model import Backout, Check, OnHosts, Request, Review, ReviewedStep
from orchestrator.text.units import format_duration
from orchestrator.views.document import (
    Callout,
    Code,
    Facts,
    Folded,
    Listing,
    Mono,
    Paragraph,
    Part,
    Section,
    Strong,
    Table,
    Tone,
    Words,
)
from orchestrator.views.words import amount, count, many, safe

MOST_BATCHES = 50  # that are named one by one
LONG = 600  # characters of what somebody wrote


def named(step: ReviewedStep) -> str:
    """A step's name, with the hosts of its batch."""
    return f"{step.name} ({step.batch_hosts})" if step.batch_hosts else step.name


def of_first_batch(steps: Iterable[ReviewedStep]) -> list[ReviewedStep]:
    """Steps without those of batches after the first."""
    return [step for step in steps if not step.batch or step.batch.endswith("[1]")]


def implementation(review: Review) -> Iterator[Part]:
    """What is done, in order."""
    main = [step for step in review.steps if step.role in {"step", "verify"}]
    last = [step for step in review.steps if step.role == "finally"]
    yield Table(
        ("Step", "What", "Sends", "To", "Requests", "Changes"), [_row(step) for step in of_first_batch(main)], {4}
    )
    yield from _batches(main)
    if last:
        yield Paragraph("At the end, in any case:")
        yield Table(
            ("Step", "What", "Sends", "To", "Requests", "Changes"), [_row(step) for step in of_first_batch(last)], {4}
        )
    changing = [step for step in of_first_batch([*main, *last]) if step.changes and not step.skipped]
    if changing:
        yield Paragraph(
            "The steps that change something, and what does the same by hand: doveadm on the host itself, or curl from "
            "anywhere. For curl a file holds what authenticates; it is made once, and no process list shows the secret:"
        )
        yield Code("\n".join(review.header_files.values()), "sh")
    for step in changing:
        yield Section(f"Step {step.key}: {named(step)}", list(_details(step)))
    if any(step.listed and not step.changes for step in review.main):
        yield Paragraph(
            "Every other step only asks: what it must see stands under Verification, its requests in the appendix."
        )


def _row(step: ReviewedStep) -> tuple[Words, ...]:
    number = "-" if not step.hosts else "known at run time" if step.total is None else amount(step.total)
    if step.skipped:
        return _key(step), named(step), "-", "-", "0", f"skipped: {step.skipped}"
    changes = "no" if not step.changes else "YES" if step.repeatable else "YES, not repeatable"
    sends = Mono(step.command) if step.hosts else step.does
    return _key(step), named(step), sends, _where(step) or "-", number, changes


def _key(step: ReviewedStep) -> str:
    """A step's key, which may be cut into two lines before what it belongs to."""
    return step.key.replace(".verify", " verify")


def _where(step: ReviewedStep) -> str:
    return f"{step.through} (sent once, for {step.hosts})" if step.through else step.hosts


def _batches(steps: Sequence[ReviewedStep]) -> Iterator[Part]:
    """The batches after the first, each with its hosts."""
    for step, members in groupby(steps, lambda step: step.batch.partition("[")[0]):
        batches = {member.batch: member for member in members if member.batch and not member.batch.endswith("[1]")}
        if not step or not batches:
            continue
        items: list[Words] = [(Strong(f"Batch {key}"), f": {of.batch_hosts}") for key, of in batches.items()]
        if len(items) > MOST_BATCHES:
            items = [*items[:MOST_BATCHES], f"and {len(batches) - MOST_BATCHES} more batches"]
        yield Paragraph(
            f"After that the same steps in {len(batches)} more batch{'es' if len(batches) > 1 else ''}, one after the other:"
        )
        yield Listing(items)


def _details(step: ReviewedStep) -> Iterator[Part]:
    yield Paragraph(f"{step.does.rstrip('.')}.")
    pairs: list[tuple[str, Words]] = [
        ("To", _where(step)),
        ("Requests", _requests(step)),
        ("Only when", step.when),
        ("Users notice", safe(step.impact, LONG)),
        (
            "Twice",
            ""
            if step.repeatable or not step.changes
            else "must not be sent twice; an answer that is lost leaves it in doubt",
        ),
        ("Waits", _waits(step)),
        ("If it fails", step.follows),
    ]
    yield Facts([(label, words) for label, words in pairs if words])
    if step.later:
        words = "As of now, from the look at the fleet; the run takes them" if step.now else "Known at run time,"
        yield Paragraph(f"{words} from the answers of step {step.later_from}:")
        yield Listing([(Strong(name), f": {text}") for name, text in step.later])
    if step.listed:
        first = step.listed[0]
        yield Code(_commented([first], [first.doveadm]), "sh")
        if first.curl:
            yield Code(first.curl, "sh")
    more = (step.total or 0) - 1
    if more > 0:
        yield Paragraph(f"And {many(more, 'more request')}; see the appendix.")


def _waits(step: ReviewedStep) -> str:
    if not step.waits:
        return ""
    return (
        f"polled for at most {format_duration(step.waits)}"
        if step.polled
        else f"at most {format_duration(step.waits)} for each answer"
    )


def _requests(step: ReviewedStep) -> str:
    if step.total is None:
        return (
            f"known at run time, from the answers of step {step.later_from}" if step.later_from else "known at run time"
        )
    on = "; ".join(map(_on, step.on))
    total = f"{amount(step.total)}: " if len(step.on) > 1 else ""
    return (f"{total}{on}" if on else amount(step.total)) + (" (as of now)" if step.now else "")


def _on(found: OnHosts) -> str:
    each = str(found.least) if found.least == found.most else f"{found.least} to {found.most}"
    if found.number == 1:
        return f"{amount(found.requests)} on {found.hosts}"
    return f"{amount(found.requests)} on {found.hosts} ({each} each)"


def _commented(requests: Sequence[Request], lines: Sequence[str]) -> str:
    """Command lines, each under the host that it is for."""
    texts: list[str] = []
    for request, line in zip(requests, lines, strict=True):
        texts += [f"# on {request.host}{f' ({request.id})' if request.id else ''}", line]
    return "\n".join(texts)


def verification(review: Review) -> Iterator[Part]:
    """What is checked, when, with what was seen when the plan was made."""
    if not review.checks:
        yield Callout(Tone.WARNING, "This plan checks nothing.")
        return
    shown = [check for check in review.checks if not check.batch or check.batch.endswith("[1]")]
    bad = [check for check in review.checks if check.holds is False and check not in shown]
    hidden = len(review.checks) - len(shown) - len(bad)
    head = ("When", "What must hold", "When planned", "Otherwise")
    yield Table(head, [_check(check) for check in [*shown, *bad][:200]])
    if hidden > 0:
        yield Paragraph(f"And the same {count(hidden, 'check')} in the batches after the first.")


def _check(check: Check) -> tuple[Words, ...]:
    word = {True: "holds", False: "DOES NOT HOLD", None: ""}[check.holds]
    now = ": ".join(filter(None, [word, safe(check.now, LONG)])) or "not known"
    what = safe(check.what, LONG) + (f" ({safe(check.asked, LONG)})" if check.asked else "")
    return (Strong(check.moment), f": {check.name}"), what, now, safe(check.otherwise, LONG)


def backout(review: Review, program: str) -> Iterator[Part]:
    """What happens when something fails, what takes each step back, and what does not come back."""
    if not review.backouts:
        yield Paragraph("Nothing is changed, so there is nothing to take back.")
        return
    yield from _failing(review)
    shown = [back for back in review.backouts if not back.step.batch or back.step.batch.endswith("[1]")]
    rows = [_back(back) for back in shown]
    yield Table(("Step", "What it changes", "Taken back by", "What comes back", "When"), rows)
    if len(shown) < len(review.backouts):
        words = (
            "In the batches after the first likewise, each for its own hosts; batches that are done stay as they are."
        )
        yield Paragraph(words)
    by_hand = [(back, back.by.listed) for back in shown if back.by is not None and back.by.listed]
    if by_hand:
        yield Paragraph("By hand, for example when the run was stopped and shall not go on:")
        requests = [request for _, listed in by_hand for request in listed[:1]]
        yield Code(_commented(requests, [request.doveadm for request in requests]), "sh")
        curls = [request for request in requests if request.curl]
        if curls:
            yield Code("\n".join(request.curl for request in curls), "sh")
    last = [step for step in review.steps if step.role == "finally" and not step.skipped]
    if last:
        names = "; ".join(f"{named(step)} ({step.command} on {_where(step)})" for step in last)
        yield Paragraph(f"At the end, whether it failed or not: {names}.")
    yield Paragraph(("What was done, what was taken back and why is then told by ", Mono(f"{program} report"), "."))


def _failing(review: Review) -> Iterator[Part]:
    """What follows where a step fails; steps with the same consequence together."""
    steps = [step for step in of_first_batch(review.steps) if not step.skipped and step.role in {"step", "verify"}]
    first = next((number for number, step in enumerate(steps) if step.changes), len(steps))
    found: dict[str, list[str]] = {}
    for step in steps[first:]:
        if step.follows:
            found.setdefault(step.follows, []).append(step.key)
    items: list[Words] = []
    if first:
        of_batch = " in this batch" if any(step.batch for step in steps) else ""
        items.append(
            (Strong(f"Before step {steps[first].key}"), f": the run stops, and nothing was changed{of_batch}.")
        )
    items += [(Strong(f"Step {', '.join(keys)}"), f": {follows}.") for follows, keys in found.items()]
    yield Paragraph("If something fails:")
    yield Listing(items)


def _back(back: Backout) -> tuple[Words, ...]:
    step = back.step
    by: Words = "nothing"
    when = "not at all"
    if back.by is not None:
        by = (Mono(back.by.command), f" on {_where(back.by)}")
        when = "by itself, after the failures above that take back" if back.automatic else "by hand"
    elif back.inverse and not step.irreversible:
        by, when = back.inverse, "by hand"
    restored = "; ".join(f"{name} back to {old}{f', from {new}' if new else ''}" for name, new, old in back.restores)
    if step.irreversible:
        restored = "; ".join(filter(None, [restored, safe(step.irreversible, LONG)]))
    return step.key, named(step), by, restored or ("-" if back.by is None else "as its request says"), when


def appendix(review: Review, program: str) -> Iterator[Part]:
    """Every request, as far as there is room."""
    everything = f"{program} export {shlex.quote(review.file)} > {shlex.quote(_beside(review.file))}"
    cut = any(step.left_out for step in review.steps)
    yield Paragraph(
        "All requests that are known, as JSON lines, one each, to be attached where this review is too short:"
    )
    yield Code(everything, "sh")
    if cut:
        yield Paragraph("Of long steps the first and the last request are shown here.")
    for step in review.steps:
        if step.listed and not step.skipped:
            yield from _listed(step)


def _beside(file: str) -> str:
    return f"{file.rsplit('/', 1)[-1].removesuffix('.plan')}.jsonl"


def _listed(step: ReviewedStep) -> Iterator[Part]:
    number = "requests known at run time" if step.total is None else many(step.total, "request")
    title = f"Step {step.key}, {named(step)}: {number}{' as of now' if step.now else ''}"
    lines = _commented(step.listed, [_twins(request) for request in step.listed])
    parts: list[Part] = [Code(lines, "sh")]
    if step.left_out:
        parts.append(Paragraph(f"Between the first and the last: {many(step.left_out, 'more request')}."))
    short = [step.listed[0], *([step.listed[-1]] if len(step.listed) > 1 else [])]
    left = max(0, (step.total or 0) - len(short))
    few: list[Part] = [Code(_commented(short, [request.doveadm for request in short]), "sh")]
    if left:
        few.append(Paragraph(f"And {many(left, 'more request')} between them."))
    yield Folded(title, parts, instead=few)


def _twins(request: Request) -> str:
    return "\n".join(filter(None, [request.doveadm, request.curl]))
