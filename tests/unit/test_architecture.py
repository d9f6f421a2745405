"""Promises about the code as a whole that no import contract can state."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from orchestrator.dovecot import catalog

PACKAGE = Path(__file__).parents[2] / "orchestrator"
MODULES = sorted(PACKAGE.rglob("*.py"))
ENGINE = ["scheduler", "runner", "sending", "plan", "outcome", "retry", "tuning", "survey", "report", "answers"]
ENGINE_FILES = [PACKAGE / f"{name}.py" for name in ENGINE] + sorted((PACKAGE / "journal").glob("*.py"))
COMMANDS = {name for name in catalog.names() if not name.islower()} | {"kick", "doveadmResponse"}


def name_of(path: Path) -> str:
    """A module's path within the package."""
    return str(path.relative_to(PACKAGE))


@cache
def tree(path: Path) -> ast.Module:
    """A module's syntax."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> set[tuple[str, str]]:
    """Module and name of each import of a file."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "", alias.name) for alias in node.names}
    return found


def words_of(path: Path) -> set[str]:
    """All words of a module, comments included."""
    return set(re.findall(r"\w+", path.read_text(encoding="utf-8")))


def test_there_is_no_dry_run_below_the_command_line() -> None:
    """A dry run is planning and stopping there; no code below the command line asks for it."""
    below = [path for path in MODULES if "cli" not in path.parts]
    assert [name_of(path) for path in below if words_of(path) & {"dry_run", "dryrun", "dry"}] == []


def test_nobody_inside_imports_through_the_package_root() -> None:
    """Modules import each other, never the public face."""
    submodules = {("orchestrator", child.stem) for child in PACKAGE.iterdir()} | {("orchestrator", "__version__")}
    through = {
        name_of(path): {pair for pair in imported(path) if pair[0] == "orchestrator"} - submodules for path in MODULES
    }
    assert {name: found for name, found in through.items() if found} == {}


def test_the_engine_knows_no_command() -> None:
    """Dovecot's commands are named in the catalogue and in playbooks, not in what plans, sends and records."""
    named = {name_of(path): COMMANDS & words_of(path) for path in ENGINE_FILES}
    assert {name: found for name, found in named.items() if found} == {}


def test_every_module_says_what_it_is_for() -> None:
    """Each module begins with a docstring."""
    assert [name_of(path) for path in MODULES if not ast.get_docstring(tree(path))] == []
