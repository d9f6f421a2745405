"""The mistakes that are made: each is one edit of a module's text, as a tired person would make it.

What is written for people is left alone: f-strings, docstrings, and all that stands in a `raise` but the `raise` itself. Other strings are
changed by leaving an element out, and where they are SQL (see `sql`). What type checkers find is not tried.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.mutants.sql import sql_edits

_SWAPPED_OPERATORS: dict[type[ast.cmpop | ast.operator], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}
_SWAPPED_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "reversed": "list"}
_SWAPPED_METHODS = {
    "startswith": "endswith",
    "endswith": "startswith",
    "partition": "rpartition",
    "rpartition": "partition",
}
_DROPPED_METHODS = {"strip", "lstrip", "rstrip", "lower", "casefold", "removeprefix", "removesuffix", "copy"}
# Arguments that are written for people, that linters ask for, or that only change how JSON looks.
_WORDS = {
    "hint",
    "description",
    "title",
    "examples",
    "help",
    "strict",
    "check",
    "encoding",
    "ensure_ascii",
    "default_factory",
}
_UNTOUCHED_CALLS = {"cast", "TypeVar", "dataclass", "namedtuple", "NamedTuple"}
_UNTOUCHED_FUNCTIONS = {"__repr__", "__str__"}
_DELETED = (ast.Raise, ast.Delete, ast.Continue, ast.Break, ast.AugAssign)


@dataclass(frozen=True)
class Mutant:
    """A module with one mistake.

    Attributes:
        path: of the module, from the root of the repository.
        line: where the mistake is, from 1.
        kind: what sort it is, in a word.
        before, after: the lines that are changed, without their indentation.
        text: the whole module's.
        key: the same for as long as the function, and the mistake in it, are.
    """

    path: str
    line: int
    kind: str
    before: str
    after: str
    text: str
    key: str

    def __str__(self) -> str:
        gone = "\n".join(f"-   {line.strip()}" for line in self.before.splitlines())
        come = "\n".join(f"+   {line.strip()}" for line in self.after.splitlines())
        return f"{self.path}:{self.line} ({self.kind})\n{gone}\n{come}"


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    new: str
    kind: str


def mutants(path: str, text: str) -> list[Mutant]:
    """All modules that one edit makes of this one, in an order that looks like chance and stays the same."""
    module = _Module(text)
    edits = sorted({(edit.start, edit.end, edit.new, edit.kind) for edit in module.edits(path)})
    made = {}
    for start, end, new, kind in edits:
        mutant = module.apply(path, _Edit(start, end, new, kind))
        if mutant is not None:
            made.setdefault(mutant.text, mutant)
    return sorted(made.values(), key=lambda mutant: mutant.key)


class _Module:
    def __init__(self, text: str) -> None:
        self.data = text.encode()
        self.tree = ast.parse(text)
        self.plain = ast.dump(self.tree)
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def edits(self, path: str) -> Iterator[_Edit]:
        speaks_sql = "/sqlite/" in path
        for node in self._touched(self.tree):
            yield from self._of(node)
            if speaks_sql:
                yield from self._of_sql(node)

    def apply(self, path: str, edit: _Edit) -> Mutant | None:
        data = self.data[: edit.start] + edit.new.encode() + self.data[edit.end :]
        try:
            text = data.decode()
            if ast.dump(ast.parse(text)) == self.plain:
                return None
        except (SyntaxError, ValueError):
            return None
        first = self.data.rfind(b"\n", 0, edit.start) + 1
        last = self.data.find(b"\n", edit.end)
        last = len(self.data) if last < 0 else last
        before = self.data[first:last].decode()
        after = data[first : last + len(data) - len(self.data)].decode()
        place, around = self._around(edit)
        key = f"{path}\0{around}\0{edit.start - place}\0{edit.end - place}\0{edit.new}"
        line = self.data.count(b"\n", 0, edit.start) + 1
        return Mutant(path, line, edit.kind, before, after, text, hashlib.sha256(key.encode()).hexdigest()[:20])

    def _around(self, edit: _Edit) -> tuple[int, str]:
        """The smallest function or statement of the module around an edit, for a key that outlasts changes elsewhere."""
        found: ast.AST = self.tree
        while True:
            inner = next(
                (
                    node
                    for node in getattr(found, "body", [])
                    if self.start(node) <= edit.start and edit.end <= self.end(node)
                ),
                None,
            )
            if inner is None:
                return 0, ""
            if not isinstance(inner, ast.ClassDef):
                return self.start(inner), self.text(inner)
            found = inner

    # places

    def start(self, node: ast.AST) -> int:
        return self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]

    def end(self, node: ast.AST) -> int:
        return self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def text(self, node: ast.AST) -> str:
        return self.data[self.start(node) : self.end(node)].decode()

    def _touched(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes in which mistakes are made."""
        for child in ast.iter_child_nodes(node):
            if self._untouched(node, child):
                continue
            yield child
            if not isinstance(child, ast.JoinedStr | ast.Raise | ast.Assert):
                yield from self._touched(child)

    @staticmethod
    def _untouched(node: ast.AST, child: ast.AST) -> bool:
        if isinstance(child, ast.FunctionDef) and child.name in _UNTOUCHED_FUNCTIONS:
            return True
        if child in getattr(node, "decorator_list", ()):
            return True
        if child in {getattr(node, "annotation", None), getattr(node, "returns", None)}:
            return True
        if isinstance(child, ast.Import | ast.ImportFrom) or (isinstance(child, ast.keyword) and child.arg in _WORDS):
            return True
        if (
            isinstance(child, ast.Assign)
            and isinstance(child.targets[0], ast.Name)
            and child.targets[0].id.startswith("__")
        ):
            return True
        return isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id in _UNTOUCHED_CALLS

    def _replaced(self, node: ast.AST, new: str, kind: str) -> _Edit:
        return _Edit(self.start(node), self.end(node), new, kind)

    # mistakes

    def _of(self, node: ast.AST) -> Iterator[_Edit]:
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
                yield from self._swapped(left, operator, right)
        elif isinstance(node, ast.BinOp):
            if not any(isinstance(side, ast.JoinedStr) for side in (node.left, node.right)):
                yield from self._swapped(node.left, node.op, node.right)
        elif isinstance(node, ast.BoolOp):
            word = " and " if isinstance(node.op, ast.And) else " or "
            for left_out in node.values:
                rest = [f"({self.text(value)})" for value in node.values if value is not left_out]
                yield self._replaced(node, word.join(rest), "condition")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield self._replaced(node, f"({self.text(node.operand)})", "not")
        elif isinstance(node, ast.If | ast.IfExp) and self.text(node.test) != "TYPE_CHECKING":
            yield self._replaced(node.test, "True", "branch")
            yield self._replaced(node.test, "False", "branch")
        elif isinstance(node, ast.While):
            yield self._replaced(node.test, "False", "branch")
        elif isinstance(node, ast.comprehension):
            yield from (self._replaced(test, "True", "branch") for test in node.ifs)
        elif isinstance(node, ast.Constant):
            yield from self._other_constant(node)
        elif isinstance(node, ast.Call):
            yield from self._other_call(node)
        elif isinstance(node, ast.Set) or (isinstance(node, ast.Tuple | ast.List) and self._enumerates(node)):
            if len(node.elts) > 1:
                yield from self._left_out(node.elts, node.elts, "element")
        elif isinstance(node, ast.Dict):
            if None not in node.keys and len(node.keys) > 1:
                yield from self._gaps(list(zip(node.keys, node.values, strict=True)), "element")  # type: ignore[arg-type]
        elif isinstance(node, ast.stmt):
            yield from self._deleted(node)

    def _swapped(self, left: ast.expr, operator: ast.cmpop | ast.operator, right: ast.expr) -> Iterator[_Edit]:
        if type(operator) not in _SWAPPED_OPERATORS:
            return
        old, new = _SWAPPED_OPERATORS[type(operator)]
        pattern = r"\s+".join(map(re.escape, old.split()))
        between = self.data[self.end(left) : self.start(right)].decode()
        if found := re.search(pattern, between):
            begin = self.end(left) + len(between[: found.start()].encode())
            yield _Edit(begin, begin + len(found[0].encode()), new, "operator")

    def _other_constant(self, node: ast.Constant) -> Iterator[_Edit]:
        value = node.value
        if isinstance(value, bool):
            yield self._replaced(node, str(not value), "constant")
        elif isinstance(value, int):
            other = "0o644" if self.text(node).startswith("0o") else str(value + 1)  # the mode of a file
            yield self._replaced(node, other, "constant")
        elif isinstance(value, float):
            yield self._replaced(node, repr(value * 2 or 1.0), "constant")

    def _other_call(self, node: ast.Call) -> Iterator[_Edit]:
        func = node.func
        if isinstance(func, ast.Name) and func.id in _SWAPPED_CALLS and not (func.id == "sorted" and node.keywords):
            yield self._replaced(func, _SWAPPED_CALLS[func.id], "call")
        elif isinstance(func, ast.Attribute) and func.attr in _SWAPPED_METHODS:
            yield _Edit(self.end(func) - len(func.attr), self.end(func), _SWAPPED_METHODS[func.attr], "call")
        elif isinstance(func, ast.Attribute) and func.attr in _DROPPED_METHODS:
            yield self._replaced(node, f"({self.text(func.value)})", "call")
        parts = sorted([*node.args, *node.keywords], key=self.start)
        dropped = [word for word in node.keywords if word.arg not in {None, *_WORDS}]
        yield from self._left_out(parts, dropped, "argument")

    def _left_out(self, parts: Sequence[ast.AST], dropped: Iterable[ast.AST], kind: str) -> Iterator[_Edit]:
        wanted = set(dropped)
        for number, edit in enumerate(self._gaps([(part, part) for part in parts], kind)):
            if parts[number] in wanted:
                yield edit

    def _gaps(self, parts: Sequence[tuple[ast.AST, ast.AST]], kind: str) -> Iterator[_Edit]:
        """For each part of a list, which begins and ends with these nodes, the list without it."""
        for number, (first, last) in enumerate(parts):
            start = self.end(parts[number - 1][1]) if number else self.start(first)
            end = self.start(parts[1][0]) if not number and len(parts) > 1 else self.end(last)
            yield _Edit(start, end, "", kind)

    def _enumerates(self, node: ast.expr) -> bool:
        """Whether a tuple or list says which ones there are, where a shorter one makes sense."""
        parent = self.parents[node]
        if isinstance(parent, ast.Compare | ast.For | ast.comprehension | ast.ExceptHandler | ast.Starred):
            return isinstance(node.ctx, ast.Load)  # type: ignore[attr-defined]
        outer = self.parents.get(parent)
        return isinstance(parent, ast.Assign | ast.AnnAssign) and isinstance(outer, ast.Module | ast.ClassDef)

    def _deleted(self, node: ast.stmt) -> Iterator[_Edit]:
        parent = self.parents[node]
        if isinstance(parent, ast.If) and parent.body == [node] and not parent.orelse:
            return  # the branch that is never taken is the same
        if self._may_go(node, parent):
            yield self._replaced(node, "pass", "statement")

    def _may_go(self, node: ast.stmt, parent: ast.AST) -> bool:
        if isinstance(node, _DELETED):
            return True
        if isinstance(node, ast.Return):
            return not (isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and parent.body[-1] is node)
        if isinstance(node, ast.Assign):
            fresh = isinstance(parent, ast.FunctionDef) and parent.name == "__init__"
            return not fresh and any(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets)
        value = node.value if isinstance(node, ast.Expr) else None
        called = value.value if isinstance(value, ast.Await) else value
        return isinstance(called, ast.Call) and not self._closes(called)

    @staticmethod
    def _closes(call: ast.Call) -> bool:
        """Whether it closes what a variable holds, which Python does as well when nothing holds it any more."""
        func = call.func
        return (
            isinstance(func, ast.Attribute)
            and func.attr == "close"
            and isinstance(func.value, ast.Name)
            and not call.args
        )

    def _of_sql(self, node: ast.AST) -> Iterator[_Edit]:
        if not isinstance(node, ast.JoinedStr) and not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            return
        if isinstance(self.parents[node], ast.Expr):
            return
        for start, end, new in sql_edits(self.text(node)):
            begin = self.start(node) + len(self.text(node)[:start].encode())
            yield _Edit(begin, begin + len(self.text(node)[start:end].encode()), new, "SQL")
