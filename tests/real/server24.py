"""Real Dovecot 2.4 servers on loopback, in a Debian root of their own: backends, alone or behind proxies."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.real.roots import Suite
from tests.ring import api, dovecot_conf, leftovers
from tests.ring.api import RingError
from tests.ring.network import RING_PORT, Network, take_network
from tests.ring.node import START_TIMEOUT, Node
from tests.ring.ring import MAIL_USER, _flow, _guard, _write_secret

PLACE = "srv"  # where in the root servers live

_PROXY_PLUGINS = """\
protocol doveadm {
  mail_plugins {
    quota = yes
    acl = yes
    fts = yes
    fts_flatcurve = yes
  }
}"""

# All file descriptors there may be, as in tests/ring.
LAUNCH = 'ulimit -n "$(ulimit -Hn)" || :; exec "$@"'


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
def start_fleet(
    suite: Suite, *, proxies: int = 0, backends: int = 1, users: int = 50, settings: str = ""
) -> Iterator[Fleet24]:
    """A running 2.4 fleet, ended and removed afterwards.

    Args:
        suite: the Debian whose Dovecot it is.
        proxies: how many proxies there are; with none, users log in on the backends.
        backends: how many backends. Each has homes of its own for all users, and only the proxies know whose home is
            where: the first user's on b1, the second's on b2, and so on, round and round.
        users: how many users there are, as in `tests.ring`.
        settings: further lines for the backends' configuration.
    """
    with contextlib.ExitStack() as undo:
        root = undo.enter_context(suite.held())
        place = root / PLACE
        leftovers.remove_abandoned(place)
        directory = Path(tempfile.mkdtemp(prefix=leftovers.PREFIX, dir=place))
        directory.chmod(0o711)
        leftovers.write_owner(directory)
        undo.callback(leftovers.remove, directory)
        network = take_network(proxies, backends)
        undo.callback(network.close)
        fleet = Fleet24(suite, directory, network, proxies, backends, users, settings)
        undo.callback(fleet.close)
        fleet.start()
        yield fleet


class Fleet24:
    """Running servers; made by `start_fleet`. It has what `tests.ring.Ring` has, so that `Sessions` can use it.

    Attributes:
        suite: the Debian whose Dovecot it is.
        proxies: name to address of the proxies.
        backends: name to address of the backends.
        nodes: every server by its name.
        directory: their files, as this side sees them.
        users: names of the ordinary users; one more, `unreadable`, has a home that cannot be opened.
    """

    def __init__(
        self,
        suite: Suite,
        directory: Path,
        network: Network,
        proxies: int,
        backends: int,
        users: int,
        settings: str,
    ) -> None:
        self.suite = suite
        self.directory = directory
        self.port, self.imap_port = network.port, network.imap_port
        self.password, self.api_key = secrets.token_hex(16), secrets.token_hex(16)
        self.proxies = {f"p{n}": network.director(n) for n in range(1, proxies + 1)}
        self.backends = {f"b{n}": network.backend(n) for n in range(1, backends + 1)}
        self.users = dovecot_conf.user_names(users)
        self._root = suite.root.resolve()
        self.nodes = {name: self._node(name, address) for name, address in self.hosts.items()}
        self._network = network
        self._settings = settings
        self._guard = _guard(directory)

    def _node(self, name: str, address: str) -> InnerNode:
        own = self.directory / name
        return InnerNode(name, address, self.port, self.imap_port, own, self.password, inside=self._root)

    @property
    def hosts(self) -> dict[str, str]:
        """Name to address of all servers."""
        return self.proxies | self.backends

    @property
    def directors(self) -> dict[str, str]:
        """Where users log in: there is no director in 2.4, so it is the proxies, or the servers themselves."""
        return self.proxies or self.backends

    @property
    def node(self) -> InnerNode:
        """The first backend."""
        return self.nodes["b1"]

    @property
    def network(self) -> str:
        """The network its addresses are in: "127.31"."""
        return self._network.prefix

    @property
    def version(self) -> str:
        """What the servers say they are: "2.4.1"."""
        return self.suite.version

    @property
    def inner_directory(self) -> str:
        """The directory of all files, as the servers see it."""
        return self._inside(self.directory)

    def backend_of(self, user: str) -> str:
        """Where the proxies send a user, and where the user's home is."""
        return list(self.backends)[self.users.index(user) % len(self.backends)]

    def home(self, user: str, backend: str) -> Path:
        """The home that a user has, or would have, on a backend."""
        return self.directory / "mail" / backend / user

    def start(self) -> None:
        """Write all files, start all servers, and wait until each answers."""
        user = pwd.getpwnam(MAIL_USER)  # the same number on every Debian
        names = [*self.users, dovecot_conf.UNREADABLE]
        (self.directory / "mail").mkdir(mode=0o711)
        for backend in self.backends:
            homes = self.directory / "mail" / backend
            homes.mkdir()
            os.chown(homes, user.pw_uid, user.pw_gid)
            (homes / dovecot_conf.UNREADABLE).mkdir(mode=0)
            text = dovecot_conf.passwd_file(names, Path(self._inside(homes)), user.pw_uid, user.pw_gid)
            (self.directory / f"users.{backend}").write_text(text)
        for protocol, port in (("imap", self.imap_port), ("doveadm", RING_PORT)):
            (self.directory / f"users.{protocol}").write_text("".join(self._mapped(user, port) for user in self.users))
        for name in ("dict", "files"):
            (self.directory / name).mkdir()
            (self.directory / name).chmod(0o777)
        for name, node in self.nodes.items():
            node.directory.mkdir()
            node.configuration.touch(mode=0o600)
            node.configuration.write_text(self._configuration(name))
            node.launch()
        for node in self.nodes.values():
            node.wait_ready()

    def _mapped(self, user: str, port: int) -> str:
        host = self.backends[self.backend_of(user)]
        return f"{user}:{{PLAIN}}{dovecot_conf.USER_PASSWORD}::::::proxy=y host={host} port={port}\n"

    def close(self) -> None:
        """End the servers and remove their directory; harmless when done already."""
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

    def write_config(self, path: Path) -> Path:
        """Write the orchestrator's configuration for it; the path."""
        _write_secret(path.parent / "doveadm.password", self.password)
        groups = {"proxies": self.proxies, "backends": self.backends}
        lines = [
            "defaults:",
            "  scheme: http",
            f"  port: {self.port}",
            "  auth: {password: {file: doveadm.password}}",
            "groups:",
            *(f"  {name}: {{hosts: {_flow(hosts)}}}" for name, hosts in groups.items() if hosts),
        ]
        path.write_text("\n".join(lines) + "\n")
        return path

    def _inside(self, path: Path) -> str:
        return self.node.seen_inside(path)

    def _configuration(self, name: str) -> str:
        own = self._inside(self.nodes[name].directory)
        role = self._proxy_settings(name) if name in self.proxies else self._backend_settings(name)
        return f"""\
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
base_dir = {own}/run
state_dir = {own}/state
log_path = {own}/log
instance_name = {name}
protocols {{
  imap = yes
}}
listen = {self.hosts[name]}
ssl = no
auth_allow_cleartext = yes
auth_username_chars =
first_valid_uid = 1
doveadm_password = {self.password}
doveadm_api_key = {self.api_key}
mail_max_userip_connections = 1000
login_trusted_networks = {" ".join(self.proxies.values())}
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
service doveadm {{
  inet_listener http {{
    port = {self.port}
  }}
  inet_listener doveadm {{
    port = {RING_PORT}
  }}
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
{role}"""

    def _proxy_settings(self, name: str) -> str:
        # A proxy must know the plugins whose commands it is to hand on; the first one does, the others do not.
        return f"""\
doveadm_port = {RING_PORT}
login_proxy_max_disconnect_delay = 0
{_PROXY_PLUGINS if name == "p1" else ""}
passdb passwd-file {{
  passwd_file_path = {self.inner_directory}/users.%{{protocol}}
}}
"""

    def _backend_settings(self, name: str) -> str:
        here = self.inner_directory
        return f"""\
mail_driver = maildir
mail_path = ~/Maildir
mail_plugins {{
  quota = yes
  acl = yes
  fts = yes
  fts_flatcurve = yes
}}
acl_driver = vfile
quota "User quota" {{
  storage_size = 1G
}}
fts flatcurve {{
}}
fts_autoindex = no
language en {{
  default = yes
}}
language_filters = lowercase
language_tokenizers = generic email-address
metric imap_commands {{
  filter = event=imap_command_finished
}}
passdb passwd-file {{
  passwd_file_path = {here}/users.{name}
}}
userdb passwd-file {{
  passwd_file_path = {here}/users.{name}
}}
service imap {{
  process_limit = 5000
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
{self._settings}"""
