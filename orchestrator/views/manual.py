"""A command's manual page, from the catalogue: parameters, effect, exit codes, and the command in four ways."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.dovecot import catalog
from orchestrator.dovecot.catalog import Columns, Command, Parameter
from orchestrator.dovecot.command import command_line, encode_parameters, request_body
from orchestrator.dovecot.endpoint import API_PATH

_SAMPLES = {
    "user": "jane@example.com",
    "address": "10.0.0.234",
    "address_or_all": "10.0.0.234",
    "count": "100",
    "file": "...",
}
_BY_NAME = {
    "mask": "jane@example.com", "user": "jane@example.com", "userMask": "jane@example.com", "service": "imap",
    "mailboxMask": "INBOX", "mailbox": "INBOX", "key": "shared/count", "prefix": "shared/", "dictUri": "proxy::example",
    "path": "example", "vhostCount": "100", "field": "messages", "query": "ALL", "ip": "10.0.0.234",
}  # fmt: skip


def manual(name: str, command: Command) -> Iterator[str]:
    """The page, line by line."""
    where = "any host" if command.where == "any" else command.where
    yield f"{name}: {command.summary}"
    yield f"  {_EFFECTS[command.effect]}; Dovecot {', '.join(command.versions)}; {where}"
    if command.long:
        yield "  may run long: when no answer comes in time it may still be running"
    if command.user_impact:
        yield f"  user impact: {command.user_impact}"
    if command.affects:
        but = f"; {command.affects.but}" if command.affects.but else ""
        yield f"  counted by: {' and '.join(command.affects.commands)}{but}"
    if command.irreversible:
        yield f"  no undo: {command.irreversible}"
    if command.parameters:
        yield "  parameters:"
    for parameter, spec in command.parameters.items():
        yield f"    {_parameter(parameter, spec, command)}"
    yield "  columns of its rows:" if command.columns else "  answers no rows"
    for columns in command.columns:
        yield f"    {_columns(columns, command)}"
    yield from _exit_codes(command)
    if command.verify:
        yield f"  effect shown by: {command.verify}"
    if command.inverse:
        yield f"  undone by: {command.inverse.command} {command.inverse.note}".rstrip()
    for note in command.notes:
        yield f"  - {note}"
    yield from _examples(name, command)


_EFFECTS = {
    "read": "reads",
    "repeatable": "changes; repeatable: sent twice, the result is the same",
    "unrepeatable": "changes; unrepeatable: must not be sent twice",
}


def _parameter(name: str, spec: Parameter, command: Command) -> str:
    kinds = "/".join(sorted(spec.types()))
    only = f" [{', '.join(spec.versions)}]" if spec.versions and spec.versions != command.versions else ""
    return f"{name} ({kinds}{', required' if spec.required else ''}){only}  {spec.help}"


def _columns(columns: Columns, command: Command) -> str:
    only = f" [{', '.join(columns.versions)}]" if columns.versions and columns.versions != command.versions else ""
    condition = f"  {columns.condition}" if columns.condition else ""
    return f"{columns.words}{only}{condition}"


def _exit_codes(command: Command) -> Iterator[str]:
    yield "  exit codes:"
    for code, meaning in command.exit_codes.items():
        only = f" [{', '.join(meaning.versions)}]" if meaning.versions else ""
        yield f"    {code} {meaning.outcome}: {meaning.means}{only}"
    for number, meaning in catalog.general_exit_codes().items():
        if str(number) not in command.exit_codes:
            yield f"    {number} {meaning.outcome}: {meaning.means}"


def _examples(name: str, command: Command) -> Iterator[str]:
    values = {key: sample(key, spec) for key, spec in command.parameters.items() if spec.required}
    group = {"director": "directors", "backend": "backends"}.get(command.where, "all")
    step = {"name": command.summary.rstrip("."), "hosts": group, "command": name}
    words = " ".join(f"{key}={item}" for key, value in values.items() for item in _items(value))
    body = request_body(name, encode_parameters(values), "1").decode()
    yield "  examples:"
    yield f"    playbook  - {json.dumps(step | ({'parameters': values} if values else {}), ensure_ascii=False)}"
    yield f"    exec      orchestrator exec {group} {name} {words}".rstrip()
    yield f"    curl      curl -u doveadm -d '{body}' https://HOST:8080{API_PATH}"
    yield f"    doveadm   {command_line(name, command, values)}"


def sample(name: str, spec: Parameter) -> Any:
    """A value that a parameter could have, for examples."""
    kinds = spec.types()
    if kinds == {"boolean"}:
        return True
    if kinds == {"integer"}:
        return 1
    text = _SAMPLES.get(spec.format) or _BY_NAME.get(name, "...")
    return [text] if "array" in kinds else text


def _items(value: Any) -> list[str]:
    return [
        str(item).lower() if isinstance(item, bool) else str(item)
        for item in (value if isinstance(value, list) else [value])
    ]
