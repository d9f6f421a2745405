"""Payloads: syntax, types, order of execution, and the comma that 2.3 forgets."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.contract.cases import (
    OK,
    Scenario,
    Step,
    bad,
    dies,
    differs,
    fails,
    invalid,
    ok,
    on_23,
    on_24,
    on_241,
    on_245,
    raw,
    scenario,
    unknown,
)

_NOBODY = '["who",{"mask":["zz"]},"%s"]'
_AFTER_ARRAY = "Expected ',' or '}' after array value"
_INVALID_DATA = "Invalid data as value"
_MISSING, _END_IN_ARRAY = "Missing '}'", "Encountered end of input inside array"
_MORE, _SPURIOUS = "Unexpected data at the end", "Spurious data at end of JSON text"
_NO_ARRAY, _NO_ROOT = "Request must be a JSON array", "Root is not an array"
_NO_OBJECT = "Parameters must be contained in a JSON object"
_NO_TAG = "Command ID must be a string"
_BAD_ARRAY = "Parameter `mask' must be string or array"
_BAD_ITEM = "Command parameter array can only containstring values"
_BAD_FLAG = "Parameter `separate-connections' must be `true' or `false', not `%s'"
_DICT_23, _DICT_24 = {"dictUri": "file:@directory@/contract.dict"}, {"filterName": "mail_attribute"}


def _unreadable(send: str, text: str) -> Step:
    """A body that the parser refuses."""
    return bad("b1", send, f"JSON parse error: {text}")


# What is sent, and the text of both versions.
_SHAPES = (
    ("number in list", "[5]", "Command must be a JSON array"),
    ("name in list", '["who"]', "Command must be a JSON array"),
    ("object in list", "[{}]", "Command must be a JSON array"),
    ("empty command", "[[]]", "Command name must be a string"),
    ("number for name", '[[5,{},"t"]]', "Command name must be a string"),
    ("null for name", '[[null,{},"t"]]', "Command name must be a string"),
    ("no parameters", '[["who"]]', _NO_OBJECT),
    ("array for parameters", '[["who",[],"t"]]', _NO_OBJECT),
    ("null for parameters", '[["who",null,"t"]]', _NO_OBJECT),
    ("string for parameters", '[["who","x","t"]]', _NO_OBJECT),
    ("no tag", '[["who",{}]]', _NO_TAG),
    ("number for tag", '[["who",{},7]]', _NO_TAG),
    ("null for tag", '[["who",{},null]]', _NO_TAG),
    ("number for an unknown command's tag", '[["nosuch",{},5]]', _NO_TAG),
    ("fourth element", '[["who",{},"t","extra"]]', "Unexpected JSON element at end of command"),
    ("object as fourth element", '[["who",{},"t",{}]]', "Unexpected JSON element at end of command"),
)

# What is sent, the parser's words in 2.3, and those in 2.4.
_SYNTAX = (
    ("empty body", "", _MISSING, "JSON text has no value"),
    ("blank body", "  \n", _MISSING, "JSON text has no value"),
    ("no json", "x", _INVALID_DATA, "Expected value, but encountered 'x'"),
    ("truncated list", '[["who",{},"t"]', _MISSING, _END_IN_ARRAY),
    ("truncated command", '[["who",{}', _MISSING, _END_IN_ARRAY),
    ("trailing text", '[["who",{},"t"]] trailing', _MORE, _SPURIOUS),
    ("trailing bracket", '[["who",{},"t"]]]', _MORE, _SPURIOUS),
    ("trailing comma", '[["who",{},"t"],]', _INVALID_DATA, "Expected value, but encountered ']'"),
    ("two commas", '[["who",{},"t"],,["who",{},"b"]]', _INVALID_DATA, "Expected value, but encountered ','"),
    ("trailing comma in array", '[["who",{"mask":["zz",]},"t"]]', _INVALID_DATA, "Expected value, but encountered ']'"),
    ("trailing comma in object", '[["who",{"mask":["zz"],},"t"]]', "Expected string as object key", "Expected string, but encountered '}'"),
    ("bare word", '[["who",{"mask":[zz]},"t"]]', _INVALID_DATA, "Expected value, but encountered 'z'"),
    ("half a word", '[["who",{"separateConnections":tru},"t"]]', _INVALID_DATA, "Expected value 'true', but encounted 'tru' + '}'"),
    ("bare key", '[["who",{mask:["zz"]},"t"]]', "Expected string as object key", "Expected string, but encountered 'm'"),
    ("no colon", '[["who",{"mask" ["zz"]},"t"]]', "Expected ':' after key", "Expected ':', but encountered '['"),
    ("no comma after parameters", '[["who",{"mask":["zz"]} "t"]]', _AFTER_ARRAY, "Expected ',' or ']', but encountered '\"'"),
    ("no comma after name", '[["who" {"mask":["zz"]},"t"]]', _AFTER_ARRAY, "Expected ',' or ']', but encountered '{'"),
    ("no comma between commands", '[["who",{},"t"]["who",{},"b"]]', _AFTER_ARRAY, "Expected ',' or ']', but encountered '['"),
    ("array closed by brace", '[["who",{"mask":["zz"},"t"]]', _AFTER_ARRAY, "Expected ',' or ']', but encountered '}'"),
    ("leading zeros", '[["logErrors",{"since":007},"t"]]', "Expected ',' or '}' after object value", "Numbers cannot have leading zeros"),
    ("bad escape", r'[["who",{"mask":"z\x"},"t"]]', "Invalid escape string", "Invalid escape sequence '\\' + 'x'"),
    ("lone surrogate", r'[["who",{"mask":["a\ud83d"]},"t"]]', "Invalid unicode escape seen", "String contains lonely Unicode high surrogate '\\uD83D'"),
)  # fmt: skip

_TYPES = (
    bad("b1", '[["who",{"mask":5},"t"]]', _BAD_ARRAY),
    bad("b1", '[["who",{"mask":null},"t"]]', _BAD_ARRAY),
    bad("b1", '[["who",{"mask":true},"t"]]', _BAD_ARRAY),
    bad("b1", '[["who",{"mask":{}},"t"]]', _BAD_ARRAY),
    bad("b1", '[["who",{"mask":[5]},"t"]]', _BAD_ITEM),
    bad("b1", '[["who",{"mask":[true]},"t"]]', _BAD_ITEM),
    bad("b1", '[["who",{"mask":[["a"]]},"t"]]', _BAD_ITEM),
    bad("b1", '[["who",{"mask":["zz"],"mask":["yy"]},"t"]]', "Parameter `mask' is duplicated"),
    bad("b1", '[["logErrors",{"since":"x","since":5},"t"]]', "Parameter `since' is duplicated"),
    bad("b1", '[["user",{"userMask":["x"],"authInfo":true},"t"]]', "Parameter `auth-info' must be string or array"),
    bad("b1", '[["who",{"mask":5,"bogus":1},"t"]]', _BAD_ARRAY),
    bad("d1", '[["directorStatus",{"user":{"a":"b"}},"t"]]', _NO_TAG),
    invalid("b1", "who", {"bogus": 1, "mask": 5}),
    invalid("b1", "who", {"bogus": {"a": 1}}),
    invalid("b1", "who", {"mask_": "x"}),
    invalid("b1", "logErrors", {"since": "x", "bogus": 5}),
    invalid("b1", "logErrors", {"since": "x"}),
    invalid("b1", "logErrors", {"since": ""}),
    invalid("b1", "logErrors", {"since": 1.5}),
    invalid("b1", "logErrors", {"since": True}),
    raw("b1", '[["logErrors",{"since":1e3},"t"]]', '[["error",{"type":"invalidRequest", "exitCode":0},"t"]]'),
    ok("b1", "logErrors", {"since": 4102444800}),
    ok("b1", "logErrors", {"since": "4102444800"}),
    *differs(dies("b1", "logErrors", {"since": None}), invalid("b1", "logErrors", {"since": None})),
    dies("b1", "logErrors", {"since": [1]}),
    dies("b1", "logErrors", {"since": {}}),
    *on_23(*(ok("b1", "who", {"mask": "zz", "separateConnections": flag}) for flag in (1, "yes"))),
    *on_24(
        bad("b1", '[["who",{"mask":"zz","separateConnections":1},"t"]]', _BAD_FLAG % 1),
        bad("b1", '[["who",{"mask":"zz","separateConnections":"yes"},"t"]]', _BAD_FLAG % "yes"),
        bad("b1", '[["who",{"mask":"zz","separateConnections":null},"t"]]', _BAD_FLAG % "null"),
    ),
    ok("b1", "who", {"mask": "zz", "separateConnections": False}),
    dies("b1", "who", {"separateConnections": [True]}),
    dies("b1", "who", {"separateConnections": {}}),
    dies("d1", "directorStatus", {"user": ["a"]}),
    dies("d1", "directorUpdate", {"host": None, "vhostCount": "1"}),
    fails("b1", "mailboxList", {"user": 5}, 67),
    fails("b1", "mailboxList", {"user": True}, 67),
    dies("b1", "mailboxList", {"user": ["user001"]}),
)

_NAMES = (
    ok("b1", "mailbox list", {"user": "user001", "mailbox-mask": ["X"]}, '{"mailbox":"X"}'),
    ok("b1", "mailbox-list", {"user": "user001", "mailbox mask": ["X"]}, '{"mailbox":"X"}'),
    ok("b1", "mailboxList", {"user": "user001", "mailboxMask": ["X"]}, '{"mailbox":"X"}'),
    invalid("b1", "mailboxList", {"user": "user001", "mailbox_mask": ["X"]}),
    invalid("b1", "mailboxList", {"user": "user001", "mailboxmask": ["X"]}),
    unknown("b1", "MailboxList", {"user": "user001"}),
    unknown("b1", "WHO"),
    unknown("d1", "directorstatus"),
    unknown("b1", "nosuch", {"x": 5}),
    unknown("b1", "statsReset"),
    raw("b1", '[["nosuch",{"x":5,"x":6},"t"]]', '[["error",{"type":"unknownMethod", "exitCode":0},"t"]]'),
    raw("b1", '[["nosuch",[],"t"]]', '[["error",{"type":"unknownMethod", "exitCode":0},"t"]]'),
)

_EMPTY_TAG = '[["who",{"mask":["zz"]},""]]'
_ODD_TAG = '[["who",{"mask":["zz"]},"q \\" \\u00e9 \\n < é \\u0001 \\u001f"]]'
_TAB = '[["who",{"mask":"z\tb"},"t"]]'
_TAGS = (
    *differs(raw("b1", _EMPTY_TAG, '[["doveadmResponse",[],""]]'), raw("b1", _EMPTY_TAG, None)),
    *differs(
        raw("b1", _ODD_TAG, '[["doveadmResponse",[],"q \\" é \\n < é \\u0001 \\u001f"]]'),
        raw("b1", _ODD_TAG, '[["doveadmResponse",[],"q \\" é \\n < é \\u0001 \\u001F"]]'),
    ),
    raw("b1", f'[["who",{{"mask":["zz"]}},"{"x" * 10000}"]]', f'[["doveadmResponse",[],"{"x" * 10000}"]]'),
    *differs(raw("b1", _TAB, OK), _unreadable(_TAB, "String contains invalid character <TAB>")),
    raw("b1", f" [{_NOBODY % 't'}]\n", OK),
    raw("b1", "[]", "[]"),
)


def _refused(code: int, tag: str, kind: str = "unknownMethod") -> str:
    """A refusal; in 2.3 its exit code is left over from the command before."""
    return f'["error",{{"type":"{kind}", "exitCode":{code}}},"{tag}"]'


def _each(family: str, steps: tuple[Step, ...]) -> Iterator[Scenario]:
    """A scenario for each request, whatever the versions make of it."""
    for send in dict.fromkeys(step.send for step in steps):
        yield scenario(f"{family}: {send!s:.80}", *(step for step in steps if step.send == send))


_UNKNOWN_IN_THE_MIDDLE = f'[{_NOBODY % "a"},["nosuch",{{}},"b"],{_NOBODY % "c"}]'
_UNKNOWN_FIRST = f'[["nosuch",{{}},"a"],{_NOBODY % "b"}]'
_INVALID_FIRST = f'[["who",{{"bogus":"1"}},"a"],{_NOBODY % "b"}]'
_UNKNOWN_AFTER_KICK = '[["kick",{"mask":["zz"]},"a"],["nosuch",{},"b"]]'
_SEVERAL = (
    raw("b1", f"[{_NOBODY % 'a'},{_NOBODY % 'a'}]", '[["doveadmResponse",[],"a"],["doveadmResponse",[],"a"]]'),
    *on_23(
        raw("b1", _UNKNOWN_IN_THE_MIDDLE, f'[["doveadmResponse",[],"a"]{_refused(0, "b")},["doveadmResponse",[],"c"]]'),
        raw("b1", _UNKNOWN_FIRST, f'[{_refused(0, "a")}["doveadmResponse",[],"b"]]'),
        raw("b1", _INVALID_FIRST, f'[{_refused(0, "a", "invalidRequest")}["doveadmResponse",[],"b"]]'),
        raw("b1", _UNKNOWN_AFTER_KICK, f'[["error",{{"type":"exitCode", "exitCode":68}},"a"]{_refused(68, "b")}]'),
        raw(
            "b1",
            f'[["kick",{{"mask":["zz"]}},"a"],{_NOBODY % "b"},["nosuch",{{}},"c"]]',
            f'[["error",{{"type":"exitCode", "exitCode":68}},"a"],["doveadmResponse",[],"b"]{_refused(0, "c")}]',
        ),
    ),
    *on_24(
        raw(
            "b1", _UNKNOWN_IN_THE_MIDDLE, f'[["doveadmResponse",[],"a"],{_refused(0, "b")},["doveadmResponse",[],"c"]]'
        ),
        raw("b1", _UNKNOWN_FIRST, f'[{_refused(0, "a")},["doveadmResponse",[],"b"]]'),
        raw("b1", _INVALID_FIRST, f'[{_refused(0, "a", "invalidRequest")},["doveadmResponse",[],"b"]]'),
        raw("b1", _UNKNOWN_AFTER_KICK, f'[["doveadmResponse",[{{"count":"0"}}],"a"],{_refused(0, "b")}]'),
    ),
    raw("b1", f'[{_NOBODY % "a"},["fsGet",{{}},"b"],{_NOBODY % "c"}]', None),
)


def _ran(key: str, send: str, old: str | None, new: str | None, status: int = 200) -> Scenario:
    """What stands before a mistake has been executed; `old` is what 2.3 answers, `new` what 2.4 does."""
    return scenario(
        f"executed before: {key}",
        *on_23(*_set_before(key, send, old, status, _DICT_23)),
        *on_24(*_set_before(key, send, new, status, _DICT_24)),
    )


def _set_before(key: str, send: str, body: str | None, status: int, store: dict[str, str]) -> tuple[Step, ...]:
    parameters = store | {"key": f"shared/{key}"}
    text = send.replace("@set@", json.dumps(["dictSet", parameters | {"value": "1"}, "a"]))
    return (
        fails("b1", "dictGet", parameters, 68),
        raw("b1", text, body, status=status),
        ok("b1", "dictGet", parameters, '{"value":"1"}'),
        ok("b1", "dictUnset", parameters),
    )


def _parse_error(text: str) -> str:
    return f"JSON parse error: {text}\r\n"


_OPEN = '[["who",{"mask":"z'
_OPEN_AFTER_A_COMMAND = f'[{_NOBODY % "a"},["who",{{"mask":"z'
_NUL = r'[["who",{"mask":["a\u0000b"]},"t"]]'
_OPEN_STRING = "Encountered end of input inside string"

SCENARIOS = (
    *(scenario(f"syntax: {name}", bad("b1", send, text)) for name, send, text in _SHAPES),
    *(
        scenario(
            f"syntax: {name}",
            *on_23(_unreadable(send, old)),
            *on_241(_unreadable(send, new)),
            *on_245(_unreadable(send, new.replace("encounted", "encountered"))),
        )
        for name, send, old, new in _SYNTAX
    ),
    *(
        scenario(f"syntax: no list but {send}", *differs(bad("b1", send, _NO_ARRAY), _unreadable(send, _NO_ROOT)))
        for send in ("{}", '"x"', "5", "null")
    ),
    scenario(
        "syntax: nul in array",
        *differs(bad("b1", _NUL, _BAD_ITEM), _unreadable(_NUL, "String contains escaped NUL character")),
    ),
    scenario(
        "syntax: string without end is not reported by 2.3",
        *differs(raw("b1", _OPEN, "[]"), _unreadable(_OPEN, _OPEN_STRING)),
        *differs(
            raw("b1", _OPEN_AFTER_A_COMMAND, '[["doveadmResponse",[],"a"]]'),
            _unreadable(_OPEN_AFTER_A_COMMAND, _OPEN_STRING),
        ),
    ),
    *_each("types", _TYPES),
    *_each("names", _NAMES),
    *_each("tags", _TAGS),
    *_each("several", _SEVERAL),
    _ran("truncated", '[@set@,["who",{}', _parse_error(_MISSING), _parse_error(_END_IN_ARRAY), 400),
    _ran("trailing", "[@set@] x", _parse_error(_MORE), _parse_error(_SPURIOUS), 400),
    _ran("late-type", '[@set@,["who",{"mask":5},"b"]]', f"{_BAD_ARRAY}\r\n", f"{_BAD_ARRAY}\r\n", 400),
    _ran("crash", '[@set@,["fsGet",{},"b"]]', None, None),
    _ran("unclosed", "[@set@", _parse_error(_MISSING), _parse_error(_END_IN_ARRAY), 400),
)
