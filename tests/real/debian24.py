"""A real Dovecot 2.4 backend on loopback, in a Debian root of its own; the package this machine has stays as it is.

The root is made once with debootstrap, from the mirror that apt is configured with here, and kept in the directory
that ORCHESTRATOR_DOVECOT24_ROOT names, or ~/.cache/orchestrator/trixie. Whatever is mounted while it is made is mounted
in a namespace that ends with its making, so nothing can be left mounted.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.ring import api, dovecot_conf, leftovers
from tests.ring.api import RingError, wait_until
from tests.ring.network import Network, take_network
from tests.ring.node import START_TIMEOUT, Node
from tests.ring.ring import MAIL_USER, _flow, _guard, _write_secret

WANTED = "ORCHESTRATOR_DOVECOT24"
ROOT = "ORCHESTRATOR_DOVECOT24_ROOT"
SUITE = "trixie"
PACKAGES = ("dovecot-core", "dovecot-imapd")
PLACE = "srv"  # where in the root servers live
READY = "orchestrator.ready"  # a root without this file was not finished
BUILD_TIMEOUT = 1800.0

# All that happens in a namespace of mounts. Services must not be started by the installation of their packages.
BUILD = r"""
set -e
suite=$1 mirror=$2 root=$3; shift 3
debootstrap --variant=minbase "$suite" "$root" "$mirror"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
chroot "$root" apt-get -q -y --no-install-recommends install "$@"
chroot "$root" apt-get clean
"""
# All file descriptors there may be, as in tests/ring.
LAUNCH = 'ulimit -n "$(ulimit -Hn)" || :; exec "$@"'


def root_directory() -> Path:
    """Where the root is, or is to be."""
    return Path(os.environ.get(ROOT) or Path.home() / ".cache" / "orchestrator" / SUITE)


@functools.cache
def unavailable() -> str | None:
    """Why no 2.4 server can be run here, or None when one can."""
    if os.environ.get(WANTED) != "1":
        return f"{WANTED}=1 asks for it: a Debian {SUITE} root of about 250 MB is made once, and Dovecot 2.4 runs in it"
    if not sys.platform.startswith("linux"):
        return "it needs Linux: a root of its own, and all of 127.0.0.0/8 as loopback"
    if os.geteuid() != 0:
        return "it needs root: chroot and mail users"
    return None


def build(root: Path) -> Path:
    """The root with Dovecot 2.4, made when it is not there; who comes meanwhile waits.

    Raises:
        RingError: it cannot be made; says why.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / READY).exists():
            _build(root)
    return root


def _build(root: Path) -> None:
    if shutil.which("debootstrap") is None:
        _run("apt-get", "-q", "-y", "--no-install-recommends", "install", "debootstrap")
    new = root.with_name(f"{root.name}.new")
    for old in (root, new):
        shutil.rmtree(old, ignore_errors=True)
    script = ["sh", "-c", BUILD, "sh", SUITE, mirror(), str(new), *PACKAGES]
    _run("unshare", "--mount", "--propagation", "private", *script)
    (new / READY).write_text(_run("chroot", str(new), "dovecot", "--version"))
    new.rename(root)


def mirror() -> str:
    """The Debian mirror that apt is configured with here.

    Raises:
        RingError: there is none.
    """
    fields = "$(ORIGIN)|$(LABEL)|$(SITE)"
    lines = _run("apt-get", "indextargets", "--format", fields, "Created-By: Packages").splitlines()
    for line in lines:
        origin, label, site = line.split("|")
        if (origin, label) == ("Debian", "Debian"):
            return site
    raise RingError("apt is configured with no Debian mirror, or its lists are not there: apt-get update")


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=BUILD_TIMEOUT,
    )
    if done.returncode:
        tail = "\n  ".join(done.stdout.splitlines()[-20:])
        raise RingError(f"{command[0]} ended with {done.returncode}:\n  {tail}")
    return done.stdout


@dataclass(frozen=True)
class InnerNode(Node):
    """A server in a root of its own; everybody else sees its directory from outside.

    Attributes:
        inside: the root.
    """

    inside: Path = Path("/")

    def seen_inside(self, path: Path) -> str:
        """A path as the server knows it."""
        return "/" + str(path.relative_to(self.inside))

    def launch(self) -> None:
        """Start it; it serves soon after."""
        if self.pid is not None:
            return
        self.kill()
        with (self.directory / "start.out").open("w+") as output:
            server = ["chroot", str(self.inside), "dovecot", "-c", self.seen_inside(self.configuration)]
            done = subprocess.run(
                ["sh", "-c", LAUNCH, "sh", *server],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=START_TIMEOUT,
                check=False,
            )
            output.seek(0)
            said = output.read()
        if done.returncode:
            raise RingError(self.trouble(f"did not start (exit code {done.returncode}): {said.strip()}"))


@contextlib.contextmanager
def start_backend(users: int = 50, doveadm_service: str = "") -> Iterator[Backend24]:
    """A running 2.4 backend, ended and removed afterwards.

    Args:
        users: how many users there are, as in `tests.ring`.
        doveadm_service: further lines for `service doveadm`, such as "restart_request_count = 100".
    """
    root = build(root_directory()).resolve()
    place = root / PLACE
    leftovers.remove_abandoned(place)
    with contextlib.ExitStack() as undo:
        directory = Path(tempfile.mkdtemp(prefix=leftovers.PREFIX, dir=place))
        directory.chmod(0o711)
        leftovers.write_owner(directory)
        undo.callback(leftovers.remove, directory)
        network = take_network(0, 1)
        undo.callback(network.close)
        backend = Backend24(root, directory, network, users, doveadm_service)
        undo.callback(backend.close)
        backend.start()
        yield backend


class Backend24:
    """One running server; made by `start_backend`. It has what `tests.ring.Ring` has, so that `Sessions` can use it.

    Attributes:
        hosts: its one name and address.
        node: the server.
        directory: its files, as this side sees them.
        users: names of the ordinary users; one more, `unreadable`, has a home that cannot be opened.
    """

    def __init__(self, root: Path, directory: Path, network: Network, users: int, doveadm_service: str) -> None:
        self.directory = directory
        self.port, self.imap_port = network.port, network.imap_port
        self.password, self.api_key = secrets.token_hex(16), secrets.token_hex(16)
        self.hosts = self.backends = {"b1": network.backend(1)}
        self.users = dovecot_conf.user_names(users)
        self.node = InnerNode(
            "b1", network.backend(1), self.port, self.imap_port, directory / "b1", self.password, inside=root
        )
        self.nodes = {"b1": self.node}
        self._network = network
        self._doveadm_service = doveadm_service
        self._guard = _guard(directory)

    @property
    def directors(self) -> dict[str, str]:
        """Where users log in: there is no director in 2.4, so it is the server itself."""
        return self.hosts

    @property
    def network(self) -> str:
        """The network its address is in: "127.31"."""
        return self._network.prefix

    @property
    def version(self) -> str:
        """What the server says it is."""
        return (self.node.inside / READY).read_text().split()[0].partition("-")[0]

    @property
    def inner_directory(self) -> str:
        """The directory of all its files, as the server sees it."""
        return self.node.seen_inside(self.directory)

    def start(self) -> None:
        """Write its files, start it, and wait until it answers."""
        user = pwd.getpwnam(MAIL_USER)  # the same number on every Debian
        mail = self.directory / "mail"
        mail.mkdir()
        os.chown(mail, user.pw_uid, user.pw_gid)
        (mail / dovecot_conf.UNREADABLE).mkdir(mode=0)
        names = [*self.users, dovecot_conf.UNREADABLE]
        homes = Path(self.node.seen_inside(mail))
        (self.directory / "users").write_text(dovecot_conf.passwd_file(names, homes, user.pw_uid, user.pw_gid))
        for name in ("dict", "files"):
            (self.directory / name).mkdir()
            (self.directory / name).chmod(0o777)
        self.node.directory.mkdir()
        self.node.configuration.touch(mode=0o600)
        self.node.configuration.write_text(self._configuration())
        self.node.start()

    def close(self) -> None:
        """End the server and remove its directory; harmless when done already."""
        try:
            leftovers.remove(self.directory)
        finally:
            self._network.close()
            self._guard.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, host: str, command: str, parameters: dict[str, Any] | None = None) -> list[Any]:
        """One command's rows."""
        address = self.hosts.get(host, host)
        return api.call(address, self.port, command, parameters or {}, api.basic(self.password), 60.0)

    def start_host(self, name: str) -> None:
        """Start it and wait until it serves; nothing to do when it runs."""
        self.nodes[name].start()

    def wait_gone(self) -> None:
        """Wait until the server has ended."""
        wait_until(lambda: not self.node.processes(), 60.0, "the server ends")

    def write_config(self, path: Path) -> Path:
        """Write the orchestrator's configuration for it; the path."""
        _write_secret(path.parent / "doveadm.password", self.password)
        lines = [
            "defaults:",
            "  scheme: http",
            f"  port: {self.port}",
            "  auth: {password: {file: doveadm.password}}",
            "groups:",
            f"  backends: {{hosts: {_flow(self.backends)}}}",
        ]
        path.write_text("\n".join(lines) + "\n")
        return path

    def _configuration(self) -> str:
        here, own = self.inner_directory, self.node.seen_inside(self.node.directory)
        return f"""\
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
base_dir = {own}/run
state_dir = {own}/state
log_path = {own}/log
instance_name = b1
protocols {{
  imap = yes
}}
listen = {self.hosts["b1"]}
ssl = no
auth_allow_cleartext = yes
auth_username_chars =
mail_driver = maildir
mail_path = ~/Maildir
mail_max_userip_connections = 1000
first_valid_uid = 1
doveadm_password = {self.password}
doveadm_api_key = {self.api_key}
mail_plugins {{
  quota = yes
  acl = yes
}}
acl_driver = vfile
quota "User quota" {{
  storage_size = 1G
}}
metric imap_commands {{
  filter = event=imap_command_finished
}}
passdb passwd-file {{
  passwd_file_path = {here}/users
}}
userdb passwd-file {{
  passwd_file_path = {here}/users
}}
service imap-login {{
  inet_listener imap {{
    port = {self.imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
  restart_request_count = unlimited
  client_limit = 5000
}}
service imap {{
  process_limit = 5000
}}
service doveadm {{
  inet_listener http {{
    port = {self.port}
  }}
  {self._doveadm_service}
}}
service auth {{
  client_limit = 10000
}}
service anvil {{
  client_limit = 10000
}}
service stats {{
  client_limit = 10000
}}
mail_attribute {{
  dict file {{
    dict_file_path = {here}/dict/attributes
  }}
}}
acl_sharing_map {{
  dict file {{
    dict_file_path = {here}/dict/sharing
  }}
}}
mail_ext_attachment {{
  fs posix {{
    fs_posix_prefix = {here}/files/
  }}
}}
"""
