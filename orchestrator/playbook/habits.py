"""What people write who know other tools, and how it is said here; and why a name is not known where it stands."""

from __future__ import annotations

from collections.abc import Mapping

# Keys of Ansible's plays and tasks -> what does that here.
OF_STEPS: Mapping[str, str] = {
    **dict.fromkeys(
        ("with_items", "with_list", "with_dict", "with_flattened", "loop", "foreach", "items"),
        "for_each does that here",
    ),
    **dict.fromkeys(("with_file", "with_lines"), "for_each: {file: PATH} does that here"),
    **dict.fromkeys(("module", "action", "shell", "task", "local_action"), "the doveadm command stands in command"),
    **dict.fromkeys(("args", "params", "arguments", "vars"), "the command's parameters stand in parameters"),
    **dict.fromkeys(("host", "delegate_to"), "where it is sent stands in hosts"),
    "retries": "retry: {attempts: N} does that here; a condition is polled with until, every and within",
    "delay": "retry: {base: 3s} is the first wait between attempts; a condition is polled every 3s with until and every",
    "wait_for": "until does that here, with every and within",
    "ignore_errors": "on_failure: continue does that here",
    "failed_when": "accept names exit codes that count as done; until and require are conditions on answers",
    "changed_when": "what changes something is known from the command",
    "assert": "require does that here",
    "fail": "require does that here",
    "rescue": "undo does that here: of the step that is taken back",
    "block": "steps stand one after the other; batches have steps of their own",
    "always": "finally does that here, beside steps",
    "serial": "batches does that here: {hosts: ..., size: N, steps: [...]}",
    **dict.fromkeys(("throttle", "forks", "max_parallel"), "limits: {in_flight: N} does that here"),
    **dict.fromkeys(("max_fail_percentage", "any_errors_fatal"), "limits: {max_failed: N} does that here"),
    **dict.fromkeys(("async", "poll"), "timeout says how long an answer is waited for"),
    "prompt": "pause: {confirm: ...} does that here",
    "id": "steps are numbered; name says what one does",
    **dict.fromkeys(("become", "become_user", "tags", "notify", "no_log", "environment", "check_mode"), "leave it out"),
}

OF_PLAYBOOKS: Mapping[str, str] = {
    **dict.fromkeys(("tasks", "pre_tasks", "roles", "stages", "jobs"), "the procedure stands in steps"),
    "post_tasks": "what is done in any case stands in finally",
    **dict.fromkeys(("vars", "vars_prompt", "vars_files", "variables"), "what is given with -e stands in parameters"),
    "hosts": "each step has its hosts",
    "serial": "a step with batches does that here: {hosts: ..., size: N, steps: [...]}",
    **dict.fromkeys(("max_fail_percentage", "any_errors_fatal"), "limits: {max_failed: N} does that here"),
    **dict.fromkeys(("forks", "throttle"), "limits: {in_flight: N} does that here"),
    **dict.fromkeys(("handlers", "gather_facts", "become", "tags", "strategy", "environment"), "leave it out"),
}

# Names that have a meaning in some places only -> where.
_PLACES: Mapping[str, str] = {
    "item": "it is known in the hosts, parameters and when of a step with for_each",
    "host": "it is known in parameters, in until, and in the when of a step with for_each",
    "rows": "it is what a host answers, known in until and in a probe's done; a step's answer has the name that it registers",
    "answer": "it is what a host answers, known in until and in a probe's done",
    "parameters": "they are known in until and in a probe; values that are given with -e have their own names",
    "batch": "it is known in the steps of batches",
    "batch_number": "it is known in the steps of batches",
}
_OF_VERIFY = "a verify looks once at each host, after all items; check items in a step of its own with for_each"
_ITEMS = {"loop", "ansible_loop_var", "it", "element", "line"}


def why_unknown(name: str, *, in_verify: bool, registered: bool) -> str:
    """Why a name is not known where it stands, as the end of a sentence; empty when nothing is to be said.

    Args:
        name: the name.
        in_verify: whether it stands in a verify.
        registered: whether a step registers it: a later one, or one of other batches.
    """
    if name == "item" and in_verify:
        return f": {_OF_VERIFY}"
    if name in _PLACES:
        return f": {_PLACES[name]}"
    if registered:
        return ": the step that registers it comes later, or stands within batches"
    if name in _ITEMS:
        return ": what for_each takes is called item"
    return ""
