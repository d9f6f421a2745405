"""Payloads: syntax, types, order of execution, and the comma that 2.3 forgets."""

from __future__ import annotations

from tests.contract.cases import OK, Scenario, bad, dies, fails, invalid, ok, raw, scenario, unknown

_NOBODY = '["who",{"mask":["zz"]},"%s"]'
_AFTER_ARRAY = "JSON parse error: Expected ',' or '}' after array value"
_INVALID_DATA = "JSON parse error: Invalid data as value"
_MISSING = "JSON parse error: Missing '}'"
_NO_OBJECT = "Parameters must be contained in a JSON object"
_NO_TAG = "Command ID must be a string"
_BAD_ARRAY = "Parameter `mask' must be string or array"
_BAD_ITEM = "Command parameter array can only containstring values"
_DICT = '"dictUri":"file:@directory@/contract.dict"'

_SYNTAX = (
    ("empty body", "", _MISSING),
    ("blank body", "  \n", _MISSING),
    ("no json", "x", _INVALID_DATA),
    ("object", "{}", "Request must be a JSON array"),
    ("string", '"x"', "Request must be a JSON array"),
    ("number", "5", "Request must be a JSON array"),
    ("null", "null", "Request must be a JSON array"),
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
    ("truncated list", '[["who",{},"t"]', _MISSING),
    ("truncated command", '[["who",{}', _MISSING),
    ("trailing text", '[["who",{},"t"]] trailing', "JSON parse error: Unexpected data at the end"),
    ("trailing bracket", '[["who",{},"t"]]]', "JSON parse error: Unexpected data at the end"),
    ("trailing comma", '[["who",{},"t"],]', _INVALID_DATA),
    ("two commas", '[["who",{},"t"],,["who",{},"b"]]', _INVALID_DATA),
    ("trailing comma in array", '[["who",{"mask":["zz",]},"t"]]', _INVALID_DATA),
    ("trailing comma in object", '[["who",{"mask":["zz"],},"t"]]', "JSON parse error: Expected string as object key"),
    ("bare word", '[["who",{"mask":[zz]},"t"]]', _INVALID_DATA),
    ("half a word", '[["who",{"separateConnections":tru},"t"]]', _INVALID_DATA),
    ("bare key", '[["who",{mask:["zz"]},"t"]]', "JSON parse error: Expected string as object key"),
    ("no colon", '[["who",{"mask" ["zz"]},"t"]]', "JSON parse error: Expected ':' after key"),
    ("no comma after parameters", '[["who",{"mask":["zz"]} "t"]]', _AFTER_ARRAY),
    ("no comma after name", '[["who" {"mask":["zz"]},"t"]]', _AFTER_ARRAY),
    ("no comma between commands", '[["who",{},"t"]["who",{},"b"]]', _AFTER_ARRAY),
    ("array closed by brace", '[["who",{"mask":["zz"},"t"]]', _AFTER_ARRAY),
    ("leading zeros", '[["logErrors",{"since":007},"t"]]', "JSON parse error: Expected ',' or '}' after object value"),
    ("bad escape", r'[["who",{"mask":"z\x"},"t"]]', "JSON parse error: Invalid escape string"),
    ("lone surrogate", r'[["who",{"mask":["a\ud83d"]},"t"]]', "JSON parse error: Invalid unicode escape seen"),
    ("nul in array", r'[["who",{"mask":["a\u0000b"]},"t"]]', _BAD_ITEM),
)

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
    dies("b1", "logErrors", {"since": None}),
    dies("b1", "logErrors", {"since": [1]}),
    dies("b1", "logErrors", {"since": {}}),
    ok("b1", "who", {"mask": "zz", "separateConnections": 1}),
    ok("b1", "who", {"mask": "zz", "separateConnections": "yes"}),
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

_TAGS = (
    raw("b1", '[["who",{"mask":["zz"]},""]]', '[["doveadmResponse",[],""]]'),
    raw(
        "b1",
        '[["who",{"mask":["zz"]},"q \\" \\u00e9 \\n < é \\u0001 \\u001f"]]',
        '[["doveadmResponse",[],"q \\" é \\n < é \\u0001 \\u001f"]]',
    ),
    raw("b1", f'[["who",{{"mask":["zz"]}},"{"x" * 10000}"]]', f'[["doveadmResponse",[],"{"x" * 10000}"]]'),
    raw("b1", '[["who",{"mask":"z\tb"},"t"]]', OK),
    raw("b1", f" [{_NOBODY % 't'}]\n", OK),
    raw("b1", "[]", "[]"),
)

_SEVERAL = (
    raw("b1", f"[{_NOBODY % 'a'},{_NOBODY % 'a'}]", '[["doveadmResponse",[],"a"],["doveadmResponse",[],"a"]]'),
    raw(
        "b1",
        f'[{_NOBODY % "a"},["nosuch",{{}},"b"],{_NOBODY % "c"}]',
        '[["doveadmResponse",[],"a"]["error",{"type":"unknownMethod", "exitCode":0},"b"],["doveadmResponse",[],"c"]]',
    ),
    raw(
        "b1",
        f'[["nosuch",{{}},"a"],{_NOBODY % "b"}]',
        '[["error",{"type":"unknownMethod", "exitCode":0},"a"]["doveadmResponse",[],"b"]]',
    ),
    raw(
        "b1",
        f'[["who",{{"bogus":"1"}},"a"],{_NOBODY % "b"}]',
        '[["error",{"type":"invalidRequest", "exitCode":0},"a"]["doveadmResponse",[],"b"]]',
    ),
    raw(
        "b1",
        '[["kick",{"mask":["zz"]},"a"],["nosuch",{},"b"]]',
        '[["error",{"type":"exitCode", "exitCode":68},"a"]["error",{"type":"unknownMethod", "exitCode":68},"b"]]',
    ),
    raw(
        "b1",
        f'[["kick",{{"mask":["zz"]}},"a"],{_NOBODY % "b"},["nosuch",{{}},"c"]]',
        '[["error",{"type":"exitCode", "exitCode":68},"a"],["doveadmResponse",[],"b"]'
        '["error",{"type":"unknownMethod", "exitCode":0},"c"]]',
    ),
    raw("b1", f'[{_NOBODY % "a"},["fsGet",{{}},"b"],{_NOBODY % "c"}]', None),
)


def _ran(key: str, send: str, body: str | None, status: int = 200) -> Scenario:
    """What stands before a mistake has been executed."""
    parameters = {"dictUri": "file:@directory@/contract.dict", "key": f"shared/{key}"}
    text = send.replace("@set@", f'["dictSet",{{{_DICT},"key":"shared/{key}","value":"1"}},"a"]')
    return scenario(
        f"executed before: {key}",
        fails("b1", "dictGet", parameters, 68),
        raw("b1", text, body, status=status),
        ok("b1", "dictGet", parameters, '{"value":"1"}'),
        ok("b1", "dictUnset", parameters),
    )


SCENARIOS = (
    *(scenario(f"syntax: {name}", bad("b1", send, text)) for name, send, text in _SYNTAX),
    scenario("syntax: string without end is not reported", raw("b1", '[["who",{"mask":"z', "[]")),
    scenario(
        "syntax: string without end after a command",
        raw("b1", f'[{_NOBODY % "a"},["who",{{"mask":"z', '[["doveadmResponse",[],"a"]]'),
    ),
    *(scenario(f"types: {step.send!s:.60}", step) for step in _TYPES),
    *(scenario(f"names: {step.send!s:.60}", step) for step in _NAMES),
    *(scenario(f"tags: {step.send!s:.60}", step) for step in _TAGS),
    *(scenario(f"several: {step.send!s:.80}", step) for step in _SEVERAL),
    _ran("truncated", '[@set@,["who",{}', f"{_MISSING}\r\n", 400),
    _ran("trailing", "[@set@] x", "JSON parse error: Unexpected data at the end\r\n", 400),
    _ran("late-type", '[@set@,["who",{"mask":5},"b"]]', f"{_BAD_ARRAY}\r\n", 400),
    _ran("crash", '[@set@,["fsGet",{},"b"]]', None),
    _ran("unclosed", "[@set@", f"{_MISSING}\r\n", 400),
)
