"""An embedded Dovecot fleet that answers the doveadm HTTP API on loopback as real servers do.

It is an independent witness: written from what real Dovecot 2.3.19.1 and 2.4.1 were seen to do, it imports nothing
of the rest of the product, and one suite of contract tests holds it and real servers to the same answers.
"""

from __future__ import annotations

from orchestrator.simulator.background import BackgroundFleet
from orchestrator.simulator.server import RunningFleet, serve
from orchestrator.simulator.spec import FleetSpec

__all__ = ["BackgroundFleet", "FleetSpec", "RunningFleet", "serve"]
