"""Taking a loopback network nobody uses, and holding it against other rings for as long as ours lives."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from tests.ring.api import RingError

NETWORKS = range(31, 250)
RING_PORT = 9090  # what directors say to one another
# Something bound to 0.0.0.0:8080 makes the first pair useless in every network, hence the second.
PORTS = ((8080, 1143), (18080, 11143))
CLAIM_HOST = "255.1"


@dataclass(frozen=True)
class Network:
    """A 127.X.0.0/16 that is ours until `close`.

    Attributes:
        prefix: "127.X".
        port: the port of the doveadm HTTP API there.
        imap_port: the port of IMAP there.
        claim: a listening socket beside all hosts of the ring; whoever cannot have it keeps off.
    """

    prefix: str
    port: int
    imap_port: int
    claim: socket.socket

    def director(self, number: int) -> str:
        """The address of director `number`."""
        return f"{self.prefix}.1.{number}"

    def backend(self, number: int) -> str:
        """The address of backend `number`."""
        return f"{self.prefix}.2.{number}"

    def close(self) -> None:
        """Leave the network to others."""
        self.claim.close()


def take_network(directors: int, backends: int) -> Network:
    """The first network in which every address and port of such a ring can be bound."""
    for port, imap_port in PORTS:
        for number in NETWORKS:
            network = _claim(f"127.{number}", port, imap_port)
            if network is None:
                continue
            addresses = [network.director(n + 1) for n in range(directors)]
            addresses += [network.backend(n + 1) for n in range(backends)]
            if _all_free(addresses, (port, imap_port, RING_PORT)):
                return network
            network.close()
    raise RingError("no 127.X.0.0/16 network is free for a ring")


def _claim(prefix: str, port: int, imap_port: int) -> Network | None:
    # Between the look whether addresses are free and the start of the servers there, another ring may look too;
    # only one of them gets the claim. The kernel gives it back when this process dies.
    claim = _bind(f"{prefix}.{CLAIM_HOST}", port)
    if claim is None:
        return None
    claim.listen(1)
    return Network(prefix, port, imap_port, claim)


def _all_free(addresses: Iterable[str], ports: Iterable[int]) -> bool:
    with contextlib.ExitStack() as bound:
        for address in addresses:
            for port in ports:
                listener = _bind(address, port)
                if listener is None:
                    return False
                bound.enter_context(listener)
    return True


def _bind(address: str, port: int) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As Dovecot does: what is left of finished connections is no obstacle, a listener is.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
            return None
        raise
    return listener
