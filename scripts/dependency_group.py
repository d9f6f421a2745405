"""Print the requirements of pyproject.toml's dependency groups, one a line; older pips cannot read them themselves."""

import sys
import tomllib
from pathlib import Path

groups = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
sys.stdout.write("\n".join(requirement for name in sys.argv[1:] for requirement in groups[name]) + "\n")
