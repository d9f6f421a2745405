"""The documents hold together: links, the architecture's map, decisions, the generated reference, words that must not occur."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
HEADINGS = ["Status", "Context", "Decision", "Consequences", "Alternatives"]


def name_of(page: Path) -> str:
    """A page's path, for test ids."""
    return str(page.relative_to(ROOT))


def without_code(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> Iterator[str]:
    """The anchors that GitHub makes of a page's headings."""
    for heading in re.findall(r"^#+ (.+)$", without_code(page.read_text(encoding="utf-8")), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    """Every link to a file or heading of the repository leads there."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in set(anchors(file))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", DECISIONS, ids=name_of)
def test_decisions_have_five_headings(page: Path) -> None:
    """Every decision has its five headings, in order, and its number in its title."""
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert text.startswith(f"# {page.name[:4]}: ")


def test_the_map_of_the_architecture_is_complete() -> None:
    """Every module and directory stands in the architecture's map, in its directory's row, and nothing else does."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    package = ROOT / "orchestrator"
    rows = re.findall(r"^\| `.*$", text, re.MULTILINE)
    for path in package.rglob("*.py"):
        folder = path.relative_to(package).parts[0]
        wanted = {f"`{folder}`" if path.parent == package else f"`{folder}/`"}
        if path.parent != package and folder not in {"cli", "simulator"}:  # a verb or a host's habit a file
            wanted.add(f"`{path.name}`")
        assert path.name.startswith("__") or any(all(name in row for name in wanted) for row in rows), path
    named = set(re.findall(r"`([a-z_]+\.py)`", text))
    assert {name for name in named if not list(package.rglob(name))} == set()


def test_the_architecture_is_at_most_two_pages() -> None:
    """The architecture can be read at once."""
    assert len((ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 110


def test_the_references_are_current() -> None:
    """The generated references are what the catalogue and the shipped playbooks give now."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "command_reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_help_imports_no_network() -> None:
    """`--help` and `--version` are quick: they import neither event loop nor parsers nor pydantic."""
    program = (
        "import sys; from orchestrator.cli.main import run; code = run([sys.argv[1]]);"
        "print(code, sorted({'aiohttp', 'asyncio', 'httptools', 'pydantic', 'sqlite3', 'uvloop'} & set(sys.modules)))"
    )
    for option in ("--help", "--version"):
        done = subprocess.run(
            [sys.executable, "-c", program, option], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert done.stdout.splitlines()[-1] == "0 []"
