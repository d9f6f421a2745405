"""A real Dovecot 2.3 ring on loopback, and live IMAP sessions through its directors, for tests.

    with start_ring() as ring, Sessions(ring, count=40) as sessions:
        ring.call("d1", "directorUpdate", {"host": ring.backends["b1"], "vhostCount": "0"})

A ring takes a 127.X.0.0/16 network nobody uses, so any number of them live side by side.
"""

from tests.ring.api import CommandError, RingError
from tests.ring.node import Node
from tests.ring.ring import Ring, start_ring, unavailable
from tests.ring.sessions import SessionEvent, Sessions

__all__ = ["CommandError", "Node", "Ring", "RingError", "SessionEvent", "Sessions", "start_ring", "unavailable"]
