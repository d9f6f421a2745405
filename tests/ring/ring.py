"""A running ring: directors, backends, their secrets, and the whole of its life from start to close."""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.ring import api, dovecot_conf, leftovers
from tests.ring.api import CommandError, RingError, wait_until
from tests.ring.network import Network, take_network
from tests.ring.node import Node

SYNC_TIMEOUT = 60.0
MAIL_USER = "mail"  # every Debian has it; Dovecot refuses to handle mail as root
LONGEST_ROOT = 60  # a socket's path has room for 107 bytes, and Dovecot wants its part


@functools.cache
def unavailable() -> str | None:
    """Why a real ring cannot be run here, or None when it can."""
    if not sys.platform.startswith("linux"):
        return "a real ring needs Linux: all of 127.0.0.0/8 is loopback there"
    if os.geteuid() != 0:
        return "a real ring needs root"
    if shutil.which("dovecot") is None or shutil.which("doveconf") is None:
        return "dovecot is not installed: apt-get install dovecot-core dovecot-imapd"
    version = _output("dovecot", "--version")
    if not version.startswith("2.3."):
        return f"a real ring needs Dovecot 2.3, the last with directors; this is {version or 'broken'}"
    programs = Path(_output("doveconf", "-d", "-h", "libexec_dir"))
    missing = [name for name in ("director", "imap", "imap-login") if not (programs / name).exists()]
    if missing:
        return f"dovecot lacks {', '.join(missing)}: apt-get install dovecot-core dovecot-imapd"
    return None


def start_ring(
    root: Path | None = None, *, users: int = 200, directors: int = 2, backends: int = 3, doveadm_service: str = ""
) -> Ring:
    """Make a ring, start it, and wait until every server answers and every director says that the ring is synced.

    Args:
        root: an empty or new directory, removed by `close`. Every directory above it must be open to all users,
            which pytest's `tmp_path` is not: mail is not handled as root. None makes a fitting one, and removes
            rings which a killed process left beside it.
        users: how many users there are: user001 and so on, password "pw". One more, `unreadable`, has a home that
            cannot be opened.
        directors: how many directors.
        backends: how many backends.
        doveadm_service: further lines for `service doveadm` of all servers, such as "service_count = 100".
    """
    reason = unavailable()
    if reason:
        raise RingError(reason)
    root = _make_root() if root is None else _check_root(root)
    leftovers.write_owner(root)
    with contextlib.ExitStack() as undo:
        undo.callback(leftovers.remove, root)
        network = take_network(directors, backends)
        undo.callback(network.close)
        ring = Ring(root, network, users, directors, backends, doveadm_service)
        undo.callback(ring.close)
        ring.start()
        undo.pop_all()
    return ring


class Ring:
    """One running ring; made by `start_ring`.

    Attributes:
        directors: name to address of the directors.
        backends: name to address of the backends.
        nodes: every server by its name.
        port: where the doveadm HTTP API listens on every server.
        imap_port: where IMAP listens on every server.
        password: the `doveadm_password` of all servers.
        api_key: the `doveadm_api_key` of all servers.
        users: the names of the ordinary users.
        root: the directory of all its files.
    """

    def __init__(
        self, root: Path, network: Network, users: int, directors: int, backends: int, doveadm_service: str
    ) -> None:
        self.root = root
        self.port = network.port
        self.imap_port = network.imap_port
        self.directors = {f"d{n}": network.director(n) for n in range(1, directors + 1)}
        self.backends = {f"b{n}": network.backend(n) for n in range(1, backends + 1)}
        self.password = secrets.token_hex(16)
        self.api_key = secrets.token_hex(16)
        self.users = dovecot_conf.user_names(users)
        self.nodes = {name: self._node(name, address) for name, address in self.hosts.items()}
        self._network = network
        self._doveadm_service = doveadm_service
        self._guard = _guard(root)

    @property
    def hosts(self) -> dict[str, str]:
        """Name to address of all servers."""
        return self.directors | self.backends

    @property
    def network(self) -> str:
        """The network all its addresses are in: "127.31"."""
        return self._network.prefix

    def start(self) -> None:
        """Write all files, start all servers, and wait until all of them are OK."""
        self._write_files()
        self._each(self.nodes, Node.start)
        self.wait_synced()

    def close(self) -> None:
        """End every server of this ring and remove its directory; harmless when done already."""
        try:
            leftovers.remove(self.root)
        finally:
            self._network.close()
            self._guard.communicate()  # closes its standard input; it sees that nothing is left to do

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(
        self,
        host: str,
        command: str,
        parameters: dict[str, Any] | None = None,
        *,
        authorization: str | None = None,
        timeout: float = 60.0,
    ) -> list[Any]:
        """The rows of one command on the host of that name or address.

        Raises:
            CommandError: the host answered with an error.
            RingError: it answered something else, such as 401.
            OSError, http.client.HTTPException: it did not answer.
        """
        address = self.hosts.get(host, host)
        authorization = authorization or api.basic(self.password)
        return api.call(address, self.port, command, parameters or {}, authorization, timeout)

    def synced(self) -> bool:
        """Whether every running director sees every running director, and itself, in sync."""
        running = {node.name: node.address for node in self._running(self.directors)}
        try:
            return all(self._sees_sync(name, set(running.values())) for name in running)
        except (OSError, http.client.HTTPException, ValueError, CommandError):
            return False

    def wait_synced(self, timeout: float = SYNC_TIMEOUT) -> None:
        """Wait for `synced`."""
        wait_until(self.synced, timeout, self._sync_trouble)

    def users_on(self, backend: str) -> list[int]:
        """How many users each running director has mapped to the backend of that name, in the directors' order."""
        address = self.backends[backend]
        return [
            int(row["users"])
            for node in self._running(self.directors)
            for row in self.call(node.name, "directorStatus")
            if row["mail server ip"] == address
        ]

    def reset(self) -> None:
        """Undo what a test did to the ring, for the next that shares it.

        All servers run with all their services, the backends are up with 100 vhosts each, there is no session, and
        no user is mapped anywhere. Mail stays as it is. Sessions that log in again meanwhile are to be closed before.
        """
        self._each(self.nodes, Node.restore)
        self.wait_synced()
        director = next(iter(self.directors))
        for row in self.call(director, "directorStatus"):
            if row["mail server ip"] not in self.backends.values():
                self.call(director, "directorRemove", {"host": row["mail server ip"]})
        for address in self.backends.values():
            self.call(director, "directorAdd", {"host": address, "vhostCount": "100"})  # or update
            self.call(director, "directorUp", {"host": address})
        self._end_sessions()
        wait_until(self._forget_users, 60.0, "there are still users mapped to backends")

    def log(self, name: str) -> str:
        """What the server of that name logged."""
        return self.nodes[name].log()

    def start_host(self, name: str) -> None:
        """Start a server and wait until it serves; nothing to do when it runs."""
        self.nodes[name].start()

    def stop_host(self, name: str) -> None:
        """Stop a server as an administrator would, and wait until it is gone; nothing to do when it does not run."""
        self.nodes[name].stop()

    def reload_host(self, name: str) -> None:
        """Make a server read its configuration again."""
        self.nodes[name].reload()

    def signal_host(self, name: str, number: int) -> None:
        """Send a signal to a server's master process."""
        self.nodes[name].signal(number)

    def write_config(self, path: Path) -> Path:
        """Write the orchestrator's configuration for this ring, with its secrets in files beside it; the path."""
        _write_secret(path.parent / "doveadm.password", self.password)
        _write_secret(path.parent / "doveadm.api_key", self.api_key)
        lines = [
            "defaults:",
            "  scheme: http",
            f"  port: {self.port}",
            "  auth: {password: {file: doveadm.password}}",
            "groups:",
            f"  directors: {{hosts: {_flow(self.directors)}}}",
            f"  backends: {{hosts: {_flow(self.backends)}}}",
        ]
        path.write_text("\n".join(lines) + "\n")
        return path

    def _node(self, name: str, address: str) -> Node:
        return Node(name, address, self.port, self.imap_port, self.root / name, self.password)

    def _write_files(self) -> None:
        user = pwd.getpwnam(MAIL_USER)
        mail = self.root / "mail"
        plan = dovecot_conf.Plan(
            users=self.root / "users",
            directors=list(self.directors.values()),
            backends=list(self.backends.values()),
            port=self.port,
            imap_port=self.imap_port,
            password=self.password,
            api_key=self.api_key,
            doveadm_service=self._doveadm_service,
        )
        names = [*self.users, dovecot_conf.UNREADABLE]
        plan.users.write_text(dovecot_conf.passwd_file(names, mail, user.pw_uid, user.pw_gid))
        mail.mkdir()
        os.chown(mail, user.pw_uid, user.pw_gid)
        (mail / dovecot_conf.UNREADABLE).mkdir(mode=0)
        for name, node in self.nodes.items():
            text = dovecot_conf.director_conf if name in self.directors else dovecot_conf.backend_conf
            node.directory.mkdir()
            node.configuration.touch(mode=0o600)
            node.configuration.write_text(text(plan, node.directory, node.address))

    def _each(self, names: Iterable[str], action: Callable[[Node], None]) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: action(self.nodes[name]), names))

    def _sees_sync(self, director: str, running: set[str]) -> bool:
        # A director alone says "ring synced" in a row of its own, too; neighbours have one row for each direction, and
        # in a ring of four or more those who are no neighbours have a row without type and status.
        rows = self.call(director, "directorRingStatus", timeout=30.0)
        own = {row["director ip"] for row in rows if row["status"] == "ring synced"}
        peers = {row["director ip"] for row in rows if row["status"] == "synced"}
        others = running - own
        listed = {row["director ip"] for row in rows}
        return own == {self.directors[director]} and len(peers & others) == min(2, len(others)) and others <= listed

    def _sync_trouble(self) -> str:
        return "\n".join(node.trouble("the ring is not synced") for node in self._running(self.directors))

    def _running(self, names: Iterable[str]) -> list[Node]:
        return [self.nodes[name] for name in names if self.nodes[name].pid]

    def _end_sessions(self) -> None:
        for name in self.directors:
            for address in self.backends.values():
                self.call(name, "proxyKick", {"host": address})
        for name in self.backends:
            with contextlib.suppress(CommandError):  # 68: nobody there
                self.call(name, "kick", {"mask": ["*"]})
        for name in self.backends:
            wait_until(functools.partial(self._nobody_on, name), 60.0, f"{name} still has sessions")

    def _nobody_on(self, backend: str) -> bool:
        return not self.call(backend, "who")

    def _forget_users(self) -> bool:
        # Again and again: users who are being moved are left alone, for the 2 s a move takes.
        self.call(next(iter(self.directors)), "directorFlush", {"host": "all", "forceFlush": True})
        return not any(users for name in self.backends for users in self.users_on(name))


def _make_root() -> Path:
    parent = Path(tempfile.gettempdir()).resolve()
    if not _open_to_all(parent) or len(os.fsencode(parent)) > LONGEST_ROOT - 30:  # such as a private TMPDIR
        parent = Path("/tmp").resolve()
    leftovers.remove_abandoned(parent)
    root = Path(tempfile.mkdtemp(prefix=leftovers.PREFIX, dir=parent))
    root.chmod(0o711)
    return root


def _check_root(root: Path) -> Path:
    root = root.resolve()
    if not _open_to_all(root.parent):
        raise RingError(f"{root.parent} is not open to the user {MAIL_USER}; leave `root` out for a fitting directory")
    if len(os.fsencode(root)) > LONGEST_ROOT:
        raise RingError(f"{root} is too long for Dovecot's sockets; leave `root` out for a fitting directory")
    root.mkdir(exist_ok=True)
    if any(root.iterdir()):
        raise RingError(f"{root} is not empty")
    root.chmod(0o711)
    return root


def _open_to_all(directory: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (directory, *directory.parents))


def _guard(root: Path) -> subprocess.Popen[bytes]:
    # A process of its own session, which no signal meant for us reaches; we hold its standard input open, and the
    # kernel closes that however we end.
    command: Sequence[str] = (sys.executable, "-I", "-S", str(Path(leftovers.__file__)), str(root))
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _write_secret(path: Path, secret: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(secret + "\n")


def _flow(hosts: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {address}" for name, address in hosts.items()) + "}"


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout.strip()
