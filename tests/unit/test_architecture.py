"""Promises about the code as a whole that no import contract can state."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from orchestrator.dovecot import catalog

PACKAGE = Path(__file__).parents[2] / "orchestrator"
MODULES = sorted(PACKAGE.rglob("*.py"))
COMMANDS = {name for name in catalog.names() if not name.islower()} | {"kick", "doveadmResponse"}
MOST_LINES = 450

# What plans, sends, records and tells, whatever the commands are.
GENERAL = ["engine/", "journal/", "plan/", "runs/", "views/jsonl.py", "views/lines.py", "views/live.py", "views/report_document.py", "views/report_text.py", "full_report.py",
           "answers.py", "events.py", "limits.py", "operation.py", "outcome.py", "report.py", "status.py"]  # fmt: skip
# Where runs are spoken of, and never the files or databases that they may be kept in.
ABOVE_JOURNALS = [
    "engine/",
    "views/",
    "runs/follow.py",
    "runs/settle.py",
    "runs/work.py",
    "report.py",
    "events.py",
    "journal/base.py",
]
# The one place that reads sentences: those of run files of format 1, which have no codes.
READS_SENTENCES = "journal/sqlite/reading.py"
SENTENCES = {"reason", "error", "message", "hint", "note", "stopped", "interrupted", "failure"}
PARSING = {
    "partition",
    "rpartition",
    "split",
    "rsplit",
    "startswith",
    "endswith",
    "removeprefix",
    "removesuffix",
    "find",
    "index",
    "count",
}


def name_of(path: Path) -> str:
    """A module's path within the package."""
    return str(path.relative_to(PACKAGE))


def within(*places: str) -> list[Path]:
    """The modules of some folders, and some files."""
    found = [path for path in MODULES if name_of(path).startswith(places)]
    assert all(any(name_of(path).startswith(place) for path in found) for place in places)
    return found


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


def packages(path: Path) -> set[str]:
    """The packages that a file imports something of."""
    return {module.partition(".")[0] for module, _ in imported(path)}


def words_of(path: Path) -> set[str]:
    """All words of a module, comments included."""
    return set(re.findall(r"\w+", path.read_text(encoding="utf-8")))


def signatures(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Each public function and method of a file, and all names in its signature."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not re.match(r"_(?!_init__$)", node.name):
            given = node.args
            every = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, [given.vararg, given.kwarg])]
            annotations = [part.annotation for part in every if part.annotation] + [node.returns] * bool(node.returns)
            yield node.name, {name for part in annotations if part for name in re.findall(r"\w+", ast.unparse(part))}


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
    """Dovecot's commands are named in the catalogue and in playbooks, not in what plans, sends, records and tells."""
    named = {name_of(path): COMMANDS & words_of(path) for path in within(*GENERAL)}
    assert {name: found for name, found in named.items() if found} == {}


def test_every_module_says_what_it_is_for() -> None:
    """Each module begins with a docstring."""
    assert [name_of(path) for path in MODULES if not ast.get_docstring(tree(path))] == []


def test_every_module_has_its_layer() -> None:
    """A new module is put where data passes it: each stands in the layers of pyproject.toml, itself or with its folder."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = {name.strip() for layer in layers for name in layer.split("|")}
    outside = {"orchestrator", "orchestrator.__main__", "orchestrator.simulator"}
    missing = []
    for path in MODULES:
        parts = ("orchestrator", *path.relative_to(PACKAGE).with_suffix("").parts)
        own = [".".join(parts[:length]) for length in range(len(parts), 1, -1)]
        if path.name != "__init__.py" and not set(own) & (placed | outside):
            missing.append(name_of(path))
    assert missing == []


def test_no_file_is_long() -> None:
    """A file has one subject, and can be read in one go."""
    long = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in long.items() if lines > MOST_LINES} == {}


def test_a_journal_is_no_file_and_no_database() -> None:
    """Whoever works with runs is handed runs, readers and sessions; where and how they are kept is one folder's business."""
    said = {
        f"{name_of(path)}: {function}": names & {"Path", "sqlite3", "Connection", "FileRun", "FileStore", "FileReader"}
        for path in within(*ABOVE_JOURNALS)
        for function, names in signatures(path)
    }
    assert {where: names for where, names in said.items() if names} == {}


def test_sqlite_stays_in_its_folder() -> None:
    """No signature outside of the run file's folder speaks of SQLite."""
    outside = [path for path in MODULES if not name_of(path).startswith("journal/sqlite/")]
    said = [name_of(path) for path in outside for _, names in signatures(path) if "sqlite3" in names]
    assert said == []


def test_only_the_command_line_knows_click() -> None:
    """Options, usage errors and verbs are the command line's; everything else can be called from a program."""
    assert {name_of(path).partition("/")[0] for path in MODULES if "click" in packages(path)} == {"cli"}


def test_runs_have_no_terminal() -> None:
    """What works on runs neither prints nor reads the process's streams, arguments or signals: it is told, and tells observers."""
    forbidden = {"click", "sys", "argparse", "getpass", "rich", "signal", "termios"}
    assert {name_of(path): packages(path) & forbidden for path in within("runs/") if packages(path) & forbidden} == {}
    printed = [
        f"{name_of(path)}:{node.lineno}"
        for path in within("runs/", "engine/", "journal/", "plan/", "report.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "input", "exit"}
    ]
    assert printed == []


def test_there_is_one_table_of_exit_codes() -> None:
    """A number that the shell sees comes from `cli/exit_codes.py`, never from a verb."""
    found = []
    for path in within("cli/", "__main__.py"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Return) and path.parent.name == "cli" and _is_code(node.value):
                found.append(f"{name_of(path)}:{node.lineno}")
            if isinstance(node, ast.Call) and re.search(r"\bexit$|SystemExit$", ast.unparse(node.func)):
                found += [f"{name_of(path)}:{node.lineno}" for part in node.args if _is_code(part)]
    assert found == []


def _is_code(node: ast.expr | None) -> bool:
    """Whether a number is written there, rather than taken from the table."""
    return isinstance(node, ast.Constant) and type(node.value) is int


def test_no_sentence_is_taken_apart_to_learn_a_state() -> None:
    """What has happened is told by codes; sentences are for people, and may be put in other words at any time."""
    found = [
        f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in MODULES
        if name_of(path) != READS_SENTENCES and "simulator" not in path.parts
        for node in ast.walk(tree(path))
        if _takes_apart(node)
    ]
    assert found == []


def _takes_apart(node: ast.AST) -> bool:
    """Whether a sentence is cut, searched or compared with a part of one."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PARSING:
        return _is_sentence(node.func.value)
    if isinstance(node, ast.Compare) and any(isinstance(how, ast.In | ast.NotIn) for how in node.ops):
        literal = isinstance(node.left, ast.Constant) and re.search(r"[a-z]", str(node.left.value))
        return bool(literal) and any(map(_is_sentence, node.comparators))
    if isinstance(node, ast.Compare) and any(isinstance(how, ast.Eq | ast.NotEq) for how in node.ops):
        sides = [node.left, *node.comparators]
        words = [
            part
            for part in sides
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value
        ]
        return bool(words) and any(map(_is_sentence, sides))
    return False


def _is_sentence(node: ast.expr) -> bool:
    """Whether an expression is, by its name, a sentence for people."""
    if isinstance(node, ast.Attribute):
        return node.attr in SENTENCES
    return isinstance(node, ast.Name) and node.id in SENTENCES
