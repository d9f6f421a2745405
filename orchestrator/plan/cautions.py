"""What a reviewer should know of a plan's lists, and what is wrong with them; also of lists that are used late."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.dovecot import catalog
from orchestrator.errors import ExpressionError, InputError, nearest
from orchestrator.plan.expand import for_each, of_step, skipped_now
from orchestrator.plan.steps import CommandStep, Plan, names_of_items
from orchestrator.playbook.doubtful_items import no_names, wide_masks
from orchestrator.playbook.items import ItemList
from orchestrator.text.expression import names_in
from orchestrator.text.reads import members_in


def warnings(plan: Plan) -> Iterator[str]:
    """Read each file of items, also of steps whose requests are known later, and say what is odd about it."""
    looked_at = set()  # the steps of batches stand in the plan once for each batch
    for step in plan.steps:
        scope = plan.scope(step)
        if not isinstance(step, CommandStep) or step.for_each is None or skipped_now(step, scope):
            continue
        if names_of_items(step.for_each) <= set(scope):
            try:
                found = for_each(step, plan, scope)
            except ExpressionError as error:
                raise of_step(step, error) from None
            if isinstance(found, ItemList) and (step.path, found.source) not in looked_at:
                looked_at.add((step.path, found.source))
                yield from _warnings_of(step, plan, found)


def _warnings_of(step: CommandStep, plan: Plan, found: ItemList) -> Iterator[str]:
    _check_columns(step, plan, found)
    yield from found.warnings
    if not found.count:
        yield f"{found.source} has no items: step {step.key} ({step.name}) sends 0 requests"
    if not found.checked:
        yield from _patterns(step, found)


def _check_columns(step: CommandStep, plan: Plan, found: ItemList) -> None:
    read = members_in([step.hosts, step.parameters, step.when], "item")
    if read and not found.columns:
        place = plan.origin.place(*step.path, "for_each")
        words = f"the lines of a file have no columns, and the step reads item.{min(read)}"
        raise InputError.at(words, place, hint="columns are those of for_each: {csv: FILE}")
    missing = sorted(read - set(found.columns))
    if missing:
        words = (
            f"no column {', '.join(map(repr, missing))}, which step {step.key} ({step.name}) reads; the columns are "
        )
        words += ", ".join(map(repr, found.columns))
        folded = {column.lower().strip(): column for column in found.columns}
        raise InputError.at(
            words,
            found.place(found.header),
            suggestion=folded.get(missing[0].lower(), "") or nearest(missing[0], found.columns),
            hint="columns are divided by commas, semicolons or tabs, and capitals count",
        )


def _patterns(step: CommandStep, found: ItemList) -> Iterator[str]:
    """A warning of items that a step sends as masks, and that mean more than one user there."""
    entry = catalog.find(step.command)
    for name, spec in entry.parameters.items() if entry else ():
        written = step.parameters.get(name)
        if spec.format in {"mask", "pattern"} and "item" in names_in(written):
            columns = members_in(written, "item") & set(found.columns)
            for column in columns or {""}:
                values = ((line, item[column] if column else item) for line, item in found.numbered())
                yield from wide_masks(found.source, values, addresses=spec.format == "mask")
                lines = ((line, item[column] if column else item) for line, item in found.numbered())
                yield from no_names(found.source, lines)
