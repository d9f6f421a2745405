"""YAML text to plain values that remember where each of them stood. The only importer of yaml.

Stricter than YAML 1.1 where that loses mail: duplicate keys, `no`/`on`, `012`, `1:30` and date-like words are
errors that say how to write what was meant, and a number keeps the text that it was written as (`scalar`); aliases are
allowed but may not multiply (the "billion laughs").
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.errors import InputError, Place, Problem, nearest
from orchestrator.text.scalar import Written, plain_number, read_number
from orchestrator.text.syntax import EXPRESSION, Complaint, explain, unreadable

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml: slower, same result
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

Path_ = tuple[str | int, ...]

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 60
MOST_PROBLEMS = 100  # nobody reads more at a time
MAX_ALIASED = 100_000  # values reached through an alias, each counted as often as it is reached

_SECRETIVE = re.compile(r"(?i)passw|api_?key|secret|token")  # such lines are never shown: one may hold a literal secret
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_SECRETIVE_KEYS = {"auth", "password", "api_key", "secret"}
_COLLECTIONS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_TAG = "tag:yaml.org,2002:"
_MAY_BE_DEEP = re.compile(r"^[ ]{40}|([-?:] ){30}", re.MULTILINE)
_WORDS = {"str", "int", "float", "bool", "null", "timestamp", "value", "merge"}  # kinds that a plain word can be
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}
_TRUE = {"true", "yes", "on"}


class Strict(BaseModel):
    """Base of all that is written in YAML: unknown keys are errors, values never change, `yes` is not `true`."""

    elsewhere: ClassVar[Mapping[str, str]] = {}  # keys of other tools, and how it is said here

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        populate_by_name=True,
        defer_build=True,  # most commands need few of the models
    )


M = TypeVar("M", bound=Strict)


@dataclass(frozen=True)
class Document:
    """A parsed text: its plain value and the place of every key and value in it.

    Attributes:
        value: dicts, lists and scalars.
        source: the file's name as errors show it.
        text: the whole text.
        folder: relative paths in the document are relative to this.
        problems: words that YAML reads otherwise than people do; `build` reports them with its own findings.
    """

    value: Any
    source: str
    text: str
    folder: Path
    _values: dict[Path_, tuple[int, int]] = field(repr=False, default_factory=dict)
    _keys: dict[Path_, tuple[int, int]] = field(repr=False, default_factory=dict)
    problems: list[Problem] = field(repr=False, default_factory=list)
    _hidden: dict[int, bool] = field(repr=False, compare=False, default_factory=dict)

    def place(self, path: Sequence[str | int], *, key: bool = False) -> Place:
        """The place of the value (or key) at `path`, or of its nearest ancestor that exists."""
        marks = self._keys if key else self._values
        for size in range(len(path), -1, -1):
            mark = marks.get(tuple(path[:size])) or self._values.get(tuple(path[:size]))
            if mark:
                place = self._at(*mark)
                return replace(place, text="") if _secretive(path) else place
        return Place(self.source)

    def problem(self, path: Sequence[str | int], message: str, *, suggestion: str = "", key: bool = False) -> Problem:
        """A problem at `path`."""
        return Problem(message, self.place(path, key=key), suggestion)

    def _at(self, line: int, column: int) -> Place:
        hidden = self._hides(line) or self._hides(line - 1)  # a secret may stand on the line after its key
        text = "" if hidden or line >= len(self._lines) else self._lines[line]
        return Place(self.source, line + 1, column + 1, text)

    def _hides(self, line: int) -> bool:
        """Whether a line is never shown; a document may be one long line, which is searched once."""
        if line not in self._hidden:
            there = 0 <= line < len(self._lines)
            self._hidden[line] = there and _SECRETIVE.search(self._lines[line]) is not None
        return self._hidden[line]

    def _starts_with(self, sign: str, mark: tuple[int, int]) -> bool:
        line, column = mark
        return self._lines[line].startswith(sign, column) if line < len(self._lines) else False

    @cached_property
    def _lines(self) -> list[str]:
        return _split(self.text)


def load(path: Path, *, what: str = "file", source: str = "") -> Document:
    """Read and parse a YAML file.

    Args:
        path: the file.
        what: what it is in error messages ("playbook", "configuration").
        source: what error messages call it; its path, when nothing is said.

    Raises:
        InputError: unreadable, too large, not UTF-8, or not the YAML that is accepted here.
    """
    source = source or str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError.at(f"this {what} is larger than {MAX_BYTES // 2**20} MiB", source)
        content = path.read_bytes()
    except IsADirectoryError:
        raise InputError.at(f"is a directory; a {what} is a YAML file", source) from None
    except OSError as error:
        raise InputError.at(f"cannot read this {what}: {error.strerror}", source) from None
    return parse(decoded(content, source), source=source, folder=path.resolve().parent)


def decoded(content: bytes, source: str) -> str:
    """The text of a file.

    Raises:
        InputError: not UTF-8; at the line and column of the first byte that is not.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        read = Document(None, source, content.decode("utf-8", "replace"), Path())
        lines = _split(content[: error.start].decode("utf-8"))
        message = f"not UTF-8 text (byte 0x{content[error.start]:02x}); save the file as UTF-8"
        raise InputError.at(message, read._at(len(lines) - 1, len(lines[-1]))) from None


def _split(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


def parse(text: str, *, source: str, folder: Path) -> Document:
    """Parse YAML text. What can be read in spite of a problem is read, so that `build` can show all problems at once.

    Raises:
        InputError: the text is not YAML, too deep, or its aliases multiply.
    """
    document = Document(None, source, text, folder)
    if found := unreadable(document._lines):
        raise InputError.at(f"not valid YAML: {found[0]}", replace(document._at(*found[1]), text=""))
    try:
        _check_depth(document)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        message, spot = explain(_complaint(error, document._lines))
        raise InputError.at(f"not valid YAML: {message}", document._at(*spot)) from None
    except (yaml.YAMLError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise InputError.at(f"not valid YAML: {reason}", source) from None
    object.__setattr__(document, "value", None if root is None else _Reader(document).read(root, (), 0))
    return document


def _complaint(error: yaml.MarkedYAMLError, lines: list[str]) -> Complaint:
    at = error.problem_mark or error.context_mark
    start = error.context_mark or at
    spots = [(mark.line, mark.column) if mark else (0, 0) for mark in (at, start)]
    return Complaint(str(error.problem or ""), str(error.context or ""), spots[0], spots[1], lines)


def _check_depth(document: Document) -> None:
    """Refuse what is nested too deeply before libyaml, which recurses in C, dies of it."""
    if not _MAY_BE_DEEP.search(document.text) and document.text.count("[") + document.text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for event in yaml.parse(document.text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH + 1:
                place = (
                    document._at(event.start_mark.line, event.start_mark.column)
                    if event.start_mark
                    else document.source
                )
                raise InputError.at(f"nested more than {MAX_DEPTH} levels deep", place)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _secretive(path: Sequence[str | int]) -> bool:
    """Whether a value may be a secret: it stands under such a key, or under one that was meant to be such a key."""
    return any(isinstance(part, str) and (part in _SECRETIVE_KEYS or _SECRETIVE.search(part)) for part in path)


def dump(value: Any) -> str:
    """Plain values as text that `parse` reads back: JSON, which is YAML, and numbers as they were written."""
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", _written(value, "\n"))


def _written(value: Any, margin: str) -> str:
    inner = margin + "  "
    if isinstance(value, dict) and value:
        lines = [f"{json.dumps(str(key), ensure_ascii=False)}: {_written(part, inner)}" for key, part in value.items()]
        return "{" + inner + ("," + inner).join(lines) + margin + "}"
    if isinstance(value, list | tuple) and value:
        return "[" + inner + ("," + inner).join(_written(part, inner) for part in value) + margin + "]"
    return value.text if isinstance(value, Written) else json.dumps(value, ensure_ascii=False, allow_nan=False)


class _Reader:
    """Walks the node graph once, turning nodes into values and noting places and problems."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._seen: set[int] = set()
        self._open: set[int] = set()
        self._aliased = 0

    def read(self, node: yaml.Node, path: Path_, depth: int) -> Any:
        mark = (node.start_mark.line, node.start_mark.column)
        self.document._values[path] = mark
        if depth > MAX_DEPTH:
            raise InputError.at(f"nested more than {MAX_DEPTH} levels deep", self.document._at(*mark))
        self._count_alias(node, mark)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, mark, path)
        if node.tag not in _COLLECTIONS:
            self._tag(node, mark, path)
        if id(node) in self._open:
            raise InputError.at("an alias refers to a value that contains it", self.document._at(*mark))
        self._open.add(id(node))
        value = (
            self._mapping(node, path, depth) if isinstance(node, yaml.MappingNode) else self._list(node, path, depth)
        )
        self._open.discard(id(node))
        return value

    def _count_alias(self, node: yaml.Node, mark: tuple[int, int]) -> None:
        if id(node) not in self._seen:
            self._seen.add(id(node))
            return
        self._aliased += 1
        if self._aliased > MAX_ALIASED:
            raise InputError.at(f"aliases expand to more than {MAX_ALIASED} values", self.document._at(*mark))

    def _list(self, node: yaml.Node, path: Path_, depth: int) -> list[Any]:
        return [self.read(child, (*path, index), depth + 1) for index, child in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Path_, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = (key_node.start_mark.line, key_node.start_mark.column)
            if not isinstance(key_node, yaml.ScalarNode):
                start = (node.start_mark.line, node.start_mark.column)
                opened = isinstance(key_node, yaml.MappingNode) and mark == (start[0], start[1] + 1)  # {{
                self._problem(*((EXPRESSION, start) if opened else ("a key must be a word", mark)))
                continue
            key = key_node.value  # as it is written, whatever it would mean: 2024.10, no, ~
            if key_node.tag.removeprefix(_TAG) not in _WORDS:
                self._tag(key_node, mark, path)
            if key_node.tag == _TAG + "merge":
                self._problem("merge keys (<<) are not supported; write the keys out", mark)
                continue
            if key in result:
                self._problem(f"the key {key!r} is given twice", mark)
            self.document._keys[(*path, key)] = mark
            result[key] = self.read(value_node, (*path, key), depth + 1)
        return result

    def _scalar(self, node: yaml.ScalarNode, mark: tuple[int, int], path: Path_) -> Any:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        if kind not in _WORDS or (node.style and kind != "str"):
            self._tag(node, mark, path)
            return text
        if node.style or (kind == "str" and self.document._starts_with("!", mark)):
            return text  # in quotes, a block or with !!str: text as it stands
        if kind in {"bool", "null"} and text in _CONSTANTS:
            return _CONSTANTS[text]
        number = read_number(text) if kind in {"int", "float", "str"} else None
        if number is not None or kind == "str":
            return text if number is None else number
        self._problem(_other_meaning(kind, text, hidden=_secretive(path)), mark)
        return text.lower() in _TRUE if kind == "bool" else text

    def _tag(self, node: yaml.Node, mark: tuple[int, int], path: Path_) -> None:
        tag = "!!" + node.tag.removeprefix(_TAG) if node.tag.startswith(_TAG) else node.tag
        shown = "a tag (!)" if _secretive(path) else f"the tag {tag}"
        self._problem(f"{shown} is not supported; put it in quotes if it belongs to the text", mark)

    def _problem(self, message: str, mark: tuple[int, int]) -> None:
        if len(self.document.problems) < MOST_PROBLEMS:
            self.document.problems.append(Problem(message, self.document._at(*mark)))


def _other_meaning(kind: str, text: str, *, hidden: bool) -> str:
    """Why a plain word is not taken, and how to write what was meant."""
    shown = "this" if hidden else text
    if kind in {"bool", "null"}:
        meant, what = ("null", "null") if kind == "null" else (str(text.lower() in _TRUE).lower(), "a boolean")
        return f"{shown} is {what} in YAML: write {meant}, or '{shown}' in quotes if the word is meant"
    if kind == "timestamp":
        return f"{shown} is a date in YAML: put it in quotes"
    if kind in {"value", "merge"}:
        return f"{shown} has a meaning of its own in YAML: put it in quotes"
    plain = "a plain number" if hidden else plain_number(text) or "a plain number"
    return f"{shown} is a number in a notation that is not read here: put it in quotes if a name is meant, or write {plain}"


def build(model: type[M], document: Document, value: Any = None, at: Path_ = ()) -> M:
    """Validate a document's value (or the part of it at `at`) into a model.

    Raises:
        InputError: every problem at once, each at its line and column.
    """
    problems = list(dict.fromkeys(document.problems))  # what an alias repeats is told once
    try:
        built = model.model_validate(document.value if value is None else value)
    except ValidationError as error:
        marked = {problem.place for problem in problems}
        found = islice(_problems_of(error, document, at, model), MOST_PROBLEMS)
        problems += [problem for problem in found if problem.place not in marked]
    if problems:
        more = f"these are the first {MOST_PROBLEMS} problems" if len(problems) >= MOST_PROBLEMS else ""
        raise InputError(problems[:MOST_PROBLEMS], hint=more)
    return built


def _problems_of(error: ValidationError, document: Document, at: Path_, model: type[Strict]) -> Iterator[Problem]:
    """Pydantic's findings as problems with places and suggestions."""
    seen: set[tuple[Path_, str]] = set()
    for found in error.errors(include_url=False, include_input=False):
        path = _real_path((*at, *found["loc"]), document)
        message, suggestion, on_key = _words(found)
        if found["type"] == "extra_forbidden":
            key, models = str(found["loc"][-1]), _models_at(model, found["loc"][:-1])
            words = next((m.elsewhere[key] for m in models if key in m.elsewhere), "")
            message = f"{message}: {words}" if words else message
            suggestion = "" if words else nearest(key, _keys_of(models))
        if (path, message) not in seen:
            seen.add((path, message))
            yield document.problem(path, message, suggestion=suggestion, key=on_key)


def _models_at(model: type[Strict], loc: Iterable[str | int]) -> set[type[Strict]]:
    """The models whose keys may stand where pydantic's location points."""
    models = {model}
    for part in loc:
        fields = [field for m in models for name, field in m.model_fields.items() if (field.alias or name) == part]
        models = {m for field in fields for m in _models_in(field.annotation)} or models
    return models


def _keys_of(models: Iterable[type[Strict]]) -> set[str]:
    return {field.alias or name for m in models for name, field in m.model_fields.items()}


def _models_in(annotation: Any) -> set[type[Strict]]:
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return {annotation}
    return {m for part in get_args(annotation) for m in _models_in(part)}


def _real_path(loc: Iterable[str | int], document: Document) -> Path_:
    """The part of pydantic's location that exists in the document; it adds names of union members."""
    path: Path_ = ()
    for part in loc:
        longer = (*path, part)
        if longer not in document._values and longer not in document._keys:
            break
        path = longer
    return path


def _words(found: Any) -> tuple[str, str, bool]:
    kind, context = found["type"], found.get("ctx", {})
    last = str(found["loc"][-1]) if found["loc"] else ""
    if kind == "extra_forbidden":
        return f"unknown key {last!r}", "", True
    if kind == "missing":
        return f"the key {last!r} is missing", "", True
    if kind == "value_error":
        return str(context.get("error", found["msg"])).strip(), getattr(context.get("error"), "suggestion", ""), False
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return "must be a mapping (key: value)", "", False
    if kind == "list_type":
        return "must be a list", "", False
    if kind == "string_type":
        return "must be text; put it in quotes", "", False
    if kind == "literal_error":
        return f"must be one of {context.get('expected', '')}", "", False
    words = str(found["msg"])
    return words.replace("Input should", "should"), "", False


class Suggested(ValueError):  # noqa: N818 - reads as what it is where it is raised
    """A wrong word and the nearest valid one, for validators."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.suggestion = suggestion
