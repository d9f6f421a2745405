"""The configuration files of a ring's Dovecot 2.3 servers, and its user database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ring.network import RING_PORT

USER_PASSWORD = "pw"
UNREADABLE = "unreadable"  # a user whose home nobody but root can open


@dataclass(frozen=True)
class Plan:
    """What all servers of a ring agree on.

    Attributes:
        users: the passwd-file of all of them.
        directors: addresses.
        backends: addresses.
        port: of the doveadm HTTP API.
        imap_port: of IMAP.
        password: `doveadm_password`.
        api_key: `doveadm_api_key`.
        doveadm_service: further lines of `service doveadm`.
    """

    users: Path
    directors: Sequence[str]
    backends: Sequence[str]
    port: int
    imap_port: int
    password: str
    api_key: str
    doveadm_service: str


def user_names(count: int) -> list[str]:
    """The names of the ordinary users."""
    return [f"user{number:03d}" for number in range(1, count + 1)]


def passwd_file(names: Sequence[str], mail: Path, uid: int, gid: int) -> str:
    """The user database: every user has the same password and a home of his own below `mail`."""
    return "".join(f"{name}:{{PLAIN}}{USER_PASSWORD}:{uid}:{gid}::{mail}/{name}::\n" for name in names)


def backend_conf(plan: Plan, directory: Path, address: str) -> str:
    """A backend: it keeps mail and answers IMAP."""
    return (
        _common(plan, directory, address)
        + f"""
login_trusted_networks = {" ".join(plan.directors)}
mail_location = maildir:~/Maildir
mail_max_userip_connections = 1000
first_valid_uid = 1
mail_plugins = acl quota
plugin {{
  acl = vfile
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:storage=1G
}}
metric imap_commands {{
  filter = event=imap_command_finished
}}
passdb {{
  driver = passwd-file
  args = username_format=%u {plan.users}
}}
service imap {{
  process_limit = 5000
}}
"""
    )


def director_conf(plan: Plan, directory: Path, address: str) -> str:
    """A director: it sends every user to one backend."""
    return (
        _common(plan, directory, address)
        + f"""
director_servers = {" ".join(plan.directors)}
director_mail_servers = {" ".join(plan.backends)}
passdb {{
  driver = static
  args = proxy=y nopassword=y port={plan.imap_port}
}}
service director {{
  # Started by the first login otherwise; the ring is to be there before.
  process_min_avail = 1
  unix_listener login/director {{
    mode = 0666
  }}
  fifo_listener login/proxy-notify {{
    mode = 0666
  }}
  unix_listener director-userdb {{
    mode = 0600
  }}
  inet_listener {{
    port = {RING_PORT}
  }}
}}
service ipc {{
  unix_listener ipc {{
    user = dovecot
  }}
}}
service imap-login {{
  executable = imap-login director
}}
"""
    )


def _common(plan: Plan, directory: Path, address: str) -> str:
    # The API's listener must be named http: any other name speaks doveadm's own protocol.
    # A userdb that can be iterated lets the director's directorMap tell names.
    return f"""\
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/log
instance_name = {directory.name}
protocols = imap
listen = {address}
ssl = no
disable_plaintext_auth = no
doveadm_password = {plan.password}
doveadm_api_key = {plan.api_key}
auth_username_chars =
userdb {{
  driver = passwd-file
  args = username_format=%u {plan.users}
}}
service imap-login {{
  inet_listener imap {{
    port = {plan.imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
  service_count = 0
  client_limit = 5000
}}
service doveadm {{
  inet_listener http {{
    port = {plan.port}
  }}
  {plan.doveadm_service}
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
"""
