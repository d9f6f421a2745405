"""A review as a document, under the headings that change boards use; for people who do not know the program."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from orchestrator.review.model import BatchImpact, Review, ReviewedStep, Room
from orchestrator.text.units import format_duration
from orchestrator.views.document import (
    Callout,
    Code,
    Document,
    Facts,
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
from orchestrator.views.review_steps import appendix, backout, implementation, named, of_first_batch, verification
from orchestrator.views.words import amount, count, many, moment, paragraphs, safe, share, takes

MOST_ROOMS = 50  # rows of a table


def review_document(review: Review, program: str) -> Document:
    """The document.

    Args:
        review: of a plan.
        program: how this program was called, with its global options.
    """
    return Document(
        f"Review: {_subject(review)}",
        (
            Section("1 Summary", list(_summary(review))),
            Section("2 Impact and risk", list(_impact(review))),
            Section("3 Implementation plan", list(implementation(review))),
            Section("4 Verification", list(verification(review))),
            Section("5 Backout", list(backout(review, program))),
            Section("6 Schedule", list(_schedule(review, program))),
            Section("7 Approvals", list(_approvals(review))),
            Section("Appendix: requests", list(appendix(review, program))),
        ),
    )


def _subject(review: Review) -> str:
    """What the change is, and of what."""
    about = ", ".join(target.short for target in review.targets if target.short)
    return f"{review.name}: {about}" if about else review.name


def sentence(review: Review) -> str:
    """All of it in one sentence."""
    parts = [_affected(review)] if review.verdict or review.affected else ["how many users notice it is not known"]
    if cuts := _cuts(review):
        parts.append(f"about {many(cuts, 'move')} in all, since who has moved may have to move again")
    if review.emptied and review.rooms:
        goes = " ".join(dict.fromkeys(room.host for room in review.rooms))
        staying = "the backends that stay, a batch at a time" if review.rooms[0].batch else goes
        parts.append(f"users of {review.emptied} move to {staying}")
    hosts, number = review.changed
    parts.append(f"changes {number} of {count(review.hosts, 'host')} ({hosts})" if number else "nothing is changed")
    return f"{_subject(review)}: {'; '.join(parts)}."


def _cuts(review: Review) -> int:
    """How often users are moved in all, where those who moved may have to move again; 0 where nobody has to."""
    moving = {room.batch: room.moving for room in review.rooms if room.batch}
    cuts = sum(moving.values())
    return cuts if cuts > review.affected.get("users", cuts) else 0


def _share(review: Review) -> str:
    users = review.affected.get("users")
    if users is None and not any(step.impact for step in review.main if not step.skipped):
        return "none"
    if users is None:
        return "not known"
    if not review.fleet_users:
        return "not known: no step asks the directors for all users"
    return f"{share(users, review.fleet_users)} of {many(review.fleet_users, 'user')}"


def _affected(review: Review) -> str:
    """How many notice it, and which share of the fleet they are."""
    if not any(step.impact for step in review.main if not step.skipped):
        return "users notice nothing"
    if not review.affected:
        names = sum(target.names for target in review.targets)
        listed = f" (at most the {many(names, 'name')} of the list)" if names else ""
        return f"users notice it, and how many is not known{listed}"
    parts = []
    for kind, number in review.affected.items():
        of = ""
        if kind == "users" and review.fleet_users:
            of = f" ({share(number, review.fleet_users)} of {amount(review.fleet_users)})"
        parts.append(f"{many(number, kind.removesuffix('s'))}{of}")
    return f"{' and '.join(parts)} affected"


def _summary(review: Review) -> Iterator[Part]:
    if review.applied:
        yield Callout(Tone.NOTE, f"This plan was already applied, as run {review.applied}; it cannot be applied again.")
    yield Paragraph(Strong(sentence(review)))
    yield _verdict(review)
    yield from (Callout(Tone.WARNING, safe(warning, 1000)) for warning in review.warnings)
    yield from _crowded(review)
    changing = [step for step in review.main if step.changes and not step.skipped]
    later = sum(step.total is None for step in review.main if not step.skipped)
    requests = amount(review.requests) + (f", and those of {count(later, 'step')} known at run time" if later else "")
    pairs: list[tuple[str, Words]] = [
        ("Ticket", review.ticket or "not given"),
        ("Reason", safe(review.reason, 600) or "not given"),
        ("Playbook", f"{review.name} ({review.playbook})"),
        *((target.name, Mono(safe(target.text, 300))) for target in review.targets),
        ("Only on", review.limit),
        ("Steps", f"{len(review.main)}, of which {len(changing)} change something"),
        ("Requests", requests),
        ("Plan", Mono(review.file)),
        ("Digest", Mono(review.digest)),
    ]
    yield Facts([(label, words) for label, words in pairs if words])
    if review.about:
        yield Section("In the words of the playbook", [Paragraph(text) for text in paragraphs(review.about)])


def _crowded(review: Review) -> Iterator[Part]:
    """The backend that gets most users, where nobody said how many it can serve, or it can serve fewer."""
    unsure = [room for room in review.rooms if room.capacity is None or room.is_full]
    if unsure:
        most = max(unsure, key=lambda room: room.after)
        can = "nobody said how many it can serve" if most.capacity is None else f"it can serve {amount(most.capacity)}"
        words = f"{most.host} would have about {many(most.after, 'user')} (before: {amount(most.before)}); {can}"
        yield Callout(Tone.WARNING if most.capacity is None else Tone.PROBLEM, f"{words}.")


def _verdict(review: Review) -> Part:
    found = review.verdict
    if found is None:
        words = "Nobody looked at the fleet when this plan was made: whether its conditions hold is not known."
        return Callout(Tone.WARNING, words)
    look = f"looked at {_moment(found.at)}, {count(found.sent, 'read-only request')}"
    return Callout(Tone.PROBLEM if found.stops else Tone.OK, (Strong(safe(found.text, 1000)), f" ({look})"))


def _impact(review: Review) -> Iterator[Part]:
    hosts, number = review.changed
    yield Facts(
        [
            ("Hosts changed", f"{hosts} ({number} of {review.hosts})" if number else "none"),
            ("Users", _affected(review)),
            ("Share of the fleet", _share(review)),
            ("Numbers of", _moment(review.verdict.at) if review.verdict else "nobody looked at the fleet"),
        ]
    )
    yield from _felt(review)
    yield from _rooms(review)
    yield from _for_good(review)
    yield Section("What the program cannot check", [Listing([*review.unchecked, *_ALWAYS])])


_ALWAYS = (
    "Whether Dovecot did what it reported: some commands answer OK and do nothing. The checks under Verification tell.",
    "What is no part of the plan: mail on its way in, other services, other tools that change the fleet meanwhile.",
)


def _felt(review: Review) -> Iterator[Part]:
    felt = [step for step in of_first_batch(review.main) if step.impact and not step.skipped]
    if not felt:
        return
    rows = [
        (
            step.key,
            named(step),
            safe(step.impact, 600),
            _noticed(step),
            "none" if step.waits is None else format_duration(step.waits),
        )
        for step in felt[:MOST_ROOMS]
    ]
    parts: list[Part] = [Table(("Step", "What", "What users notice", "How many now", "Time limit of the step"), rows)]
    if len(felt) > MOST_ROOMS:
        parts.append(Paragraph(f"And {len(felt) - MOST_ROOMS} more steps."))
    if review.by_batch:
        moving = {room.batch: room.moving for room in review.rooms}
        head = ("Batch", "Hosts", "How many now", "When its turn comes, about")
        parts.append(Table(head, [_batch(found, moving) for found in review.by_batch[:MOST_ROOMS]]))
        if moving:
            parts.append(Paragraph("Who has moved may have to move again when the turn of the new backend comes."))
    if len(review.by_batch) > MOST_ROOMS:
        parts.append(Paragraph(f"And {len(review.by_batch) - MOST_ROOMS} more batches."))
    yield Section("What users notice", parts)


def _noticed(step: ReviewedStep) -> str:
    """How many notice a step, how exact that is, and why it is not known."""
    if not step.affected:
        return f"not known: {safe(step.untold, 300)}" if step.untold else "not known"
    counted = "nobody else" if not any(step.affected.values()) else _counts(step.affected)
    return f"{counted} ({safe(step.bound, 300)})" if step.bound else counted


def _batch(found: BatchImpact, moving: Mapping[str, int]) -> tuple[str, ...]:
    then = many(moving[found.batch], "user") if found.batch in moving else "not known"
    return found.batch, found.hosts, _counts(found.affected) or "not known", then


def _counts(affected: Mapping[str, int]) -> str:
    return ", ".join(many(number, kind.removesuffix("s")) for kind, number in affected.items())


def _rooms(review: Review) -> Iterator[Part]:
    if not review.emptied:
        return
    if not review.rooms:
        words = (
            "where their users go is not known"
            if review.verdict is None or review.fleet_users is None
            else "no other serves"
        )
        yield Callout(Tone.WARNING, f"{review.emptied} is emptied, and {words}.")
        return
    full = [room for room in review.rooms if room.is_full]
    for room in full[:MOST_ROOMS]:
        words = f"{room.host} would have {many(room.after, 'user')}, and its capacity is {amount(room.capacity or 0)}"
        yield Callout(Tone.PROBLEM, f"{words}{f' (batch {room.batch})' if room.batch else ''}.")
    batches = any(room.batch for room in review.rooms)
    given = any(room.capacity is not None for room in review.rooms)
    head = [*(["During"] if batches else []), "Backend", "Users before", "Then, about"]
    first, head = len(head) - 2, head + (["Capacity", "Used"] if given else [])
    rows = [_room(room, batches=batches)[: len(head)] for room in review.rooms[:MOST_ROOMS]]
    parts: list[Part] = [Table(head, rows, range(first, len(head)))]
    if len(review.rooms) > MOST_ROOMS:
        parts.append(Paragraph(f"And {len(review.rooms) - MOST_ROOMS} more rows."))
    parts.append(Paragraph("Users are spread by the vhost counts of the backends that stay."))
    yield Section(f"Headroom while {review.emptied} is empty" if not batches else "Headroom during each batch", parts)


def _room(room: Room, *, batches: bool) -> list[Words]:
    capacity = "not given" if room.capacity is None else amount(room.capacity)
    used = "" if room.capacity is None else share(room.after, room.capacity)
    cells: list[Words] = [room.host, amount(room.before), amount(room.after), capacity, used]
    return [f"batch {room.batch}" if room.batch else "the run", *cells] if batches else cells


def _for_good(review: Review) -> Iterator[Part]:
    items: list[Words] = []
    for back in review.backouts:
        step = back.step
        if step.batch and not step.batch.endswith("[1]"):
            continue
        label = (Strong(f"Step {step.key}"), f" {step.name}: ")
        if step.irreversible:
            items.append((*label, safe(step.irreversible, 600)))
        elif back.by is None:
            known = f"by hand only: {back.inverse}" if back.inverse else "the playbook has no undo for it"
            items.append((*label, known))
    parts: list[Part] = [Listing(items) if items else Paragraph("None.")]
    if items and review.by_batch:
        parts.append(Paragraph("Likewise in the batches after the first."))
    yield Section("Steps that the run cannot undo", parts)


def _schedule(review: Review, program: str) -> Iterator[Part]:
    found = review.schedule
    plan = shlex.quote(review.file)
    longest = review.longest
    bound = f"{format_duration(longest)} (the time limits of all steps together, without retries)" if longest else ""
    pairs: list[tuple[str, Words]] = [
        ("Starts", "when somebody types the command below; nothing starts by itself"),
        ("Takes", f"{takes(found.whole)}, if nothing fails" if found else "not estimated"),
        ("At most", bound or "not known: it depends on how many requests there are, and on how long each takes"),
        ("Pace", f"{review.pace}; a step may have lower limits"),
        ("Window", "none in the plan; --window or --until gives one when it is applied"),
    ]
    yield Facts([(label, words) for label, words in pairs if words])
    if found and len(found.pieces) > 1:
        yield Table(("Step", "Takes"), [(key, takes(lasting)) for key, lasting in found.pieces])
    yield Code(f"{program} apply {plan}", "sh")
    stop = "Ctrl-C stops it at any time: nothing more is sent, answers come in, and what was done stays done. "
    yield Paragraph((f"{stop}After that, or after a crash, ", Mono(f"{program} resume"), " goes on where it stopped."))


def _approvals(review: Review) -> Iterator[Part]:
    found = review.approvals
    if found is None:
        yield Paragraph(
            "Nobody has to approve it: this machine has no policy that wants approvals, and the program records none."
        )
    else:
        lacking = f": {safe(found.lacking, 600)}" if found.lacking else ""
        yield Paragraph(f"{count(found.needed, 'approval')} needed, {len(found.verified)} verified{lacking}.")
        if found.verified:
            yield Listing([f"Approved by {safe(who, 200)}" for who in found.verified])
        yield Paragraph("To approve it, type:")
        yield Code(found.command, "sh")
    pairs: list[tuple[str, Words]] = [
        ("Ticket", review.ticket or "not given"),
        ("Reason", safe(review.reason, 600) or "not given"),
        ("Planned", _moment(review.planned)),
        ("By", ", ".join(review.authors)),
        ("Configuration", Mono(review.config)),
        ("Version", review.version),
        ("Digest", Mono(review.digest)),
    ]
    yield Facts([(label, words) for label, words in pairs if words])
    yield Paragraph(
        "The same digest is the same plan: the question before the run and the report after it show it. "
        "A plan is refused if the fleet's hosts, addresses or groups have changed since."
    )


def _moment(milliseconds: int) -> str:
    return moment(milliseconds, zone=True)
