"""Files behind Dovecot's fs API: fsGet, fsPut, fsCopy, fsStat, fsMetadata, fsDelete, fsIter, fsIterDirs.

The simulated hosts have no disk: what `fsPut` reads from "the server" is a file whose path says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.simulator.answers import OK, Died, Reply, Row, failed

if TYPE_CHECKING:
    from orchestrator.simulator.commands.call import Call

NOT_FOUND, TEMPFAIL = 68, 75
_FILTERS = ("mail_ext_attachment", "mail_attachment", "obox")


def _files(call: Call) -> dict[str, bytes]:
    """The files of the file system that a command names; an unknown one ends the process."""
    if call.version == "2.4":
        name = call.required("filterName")
        known = name in _FILTERS
    else:
        driver, name = call.required("fsDriver"), call.required("fsArgs")
        known = driver in ("posix", "dict", "sis")
    if not known:
        raise Died("fs_init() failed: Unknown fs driver")
    return call.host.files.setdefault(name, {})


def _path(call: Call, name: str = "path") -> str:
    return call.required(name)


def get(call: Call) -> Reply:
    """`fsGet`: lossy for bytes that are no UTF-8."""
    files, path = _files(call), _path(call)
    if path not in files:
        return failed(NOT_FOUND)
    return Reply([{"content": files[path].decode(errors="replace")}])


def put(call: Call) -> Reply:
    """`fsPut`: takes a file of the server's; here any path below /tmp that does not say it is missing."""
    files, source, path = _files(call), _path(call, "inputPath"), _path(call)
    if call.text("hash") is not None:
        raise Died("Panic: fsPut: hash")
    if not source.startswith("/tmp/") or "nonexistent" in source or "doesnotexist" in source:  # noqa: S108 - a name
        return failed(TEMPFAIL)
    files[path] = f"{source}\n".encode()
    return OK


def copy(call: Call) -> Reply:
    """`fsCopy`."""
    files, source, target = _files(call), _path(call, "sourcePath"), _path(call, "destinationPath")
    if source not in files:
        return failed(NOT_FOUND)
    files[target] = files[source]
    return OK


def stat(call: Call) -> Reply:
    """`fsStat`: the size is a JSON number."""
    files, path = _files(call), _path(call)
    return Reply([{"path": path, "size": len(files[path])}]) if path in files else failed(NOT_FOUND)


def metadata(call: Call) -> Reply:
    """`fsMetadata`: a missing file is no mistake."""
    _files(call)
    return Reply([{"key": ":/X-Dovecot-fs-api-OrigPath", "value": _path(call)}])


def delete(call: Call) -> Reply:
    """`fsDelete`: a missing name is 68, and the others are gone all the same."""
    files, paths = _files(call), call.names("path")
    if paths is None:
        raise call.usage()
    code = 0
    for path in paths:
        code = _delete_one(call, files, path) or code
    return failed(code) if code else OK


def _delete_one(call: Call, files: dict[str, bytes], path: str) -> int:
    below = [name for name in files if name.startswith(path.rstrip("/") + "/")]
    if call.flag("recursive") and path.endswith("/"):
        for name in below:
            del files[name]
        return TEMPFAIL if call.version == "2.4" and not below else 0
    if path in files:
        del files[path]
        return 0
    return TEMPFAIL if below else NOT_FOUND


def iterate(call: Call) -> Reply:
    """`fsIter`: files directly in a directory; a missing one has none."""
    return Reply(_children(call, directories=False))


def iterate_directories(call: Call) -> Reply:
    """`fsIterDirs`: directories directly in a directory."""
    return Reply(_children(call, directories=True))


def _children(call: Call, *, directories: bool) -> list[Row]:
    files, path = _files(call), _path(call).strip("/")
    prefix = f"{path}/" if path else ""
    names = dict.fromkeys(name[len(prefix) :].partition("/")[::2] for name in files if name.startswith(prefix))
    listed = dict.fromkeys(first for first, rest in names if bool(rest) is directories)
    return [{"path": name} for name in listed]
