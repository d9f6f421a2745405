"""Holds a run and lets it go on, at random moments, as the conditions do that must hold all the time."""

from __future__ import annotations

import asyncio
import math
from random import Random

from orchestrator.engine.runner import Runner
from tests.simulation.loop import VirtualLoop

OFTEN = 0.3  # of the sessions


class Holds:
    """The holds of one session; every one is released at last.

    Args:
        loop: whose time it is.
        runner: of the session.
        dice: of its own, so that seeds stay what they are.

    Attributes:
        timers: of what is to come.
    """

    def __init__(self, loop: VirtualLoop, runner: Runner, dice: Random) -> None:
        self._loop, self._runner = loop, runner
        self._held, self._good_until = False, math.inf
        self.timers: list[asyncio.TimerHandle] = []
        if dice.random() > OFTEN:
            return
        moment = loop.time()
        for _ in range(dice.randint(1, 3)):
            moment += 0.00001 + dice.random() ** 3 * dice.choice((0.05, 0.3, 3.0, 30.0))
            length = dice.choice((0.00002, 0.001, 0.3, 5.0, 700.0))  # no two of these timers are due at one moment
            self.timers.append(loop.call_at(moment, self._hold))
            if dice.random() < 0.2:  # seen twice not to hold
                self.timers.append(loop.call_at(moment + length / 2, self._hold))
            moment += length
            counts = dice.choice((math.inf, math.inf, 0.01, 0.5))
            self.timers.append(loop.call_at(moment, self._release, counts))
            if counts < math.inf:  # nobody looks again in time, and then somebody does
                moment += counts + dice.choice((0.001, 1.0, 100.0))
                self.timers.append(loop.call_at(moment, self._release, math.inf))

    @property
    def held(self) -> bool:
        """Whether nothing may be sent; what comes after the run's steps is done all the same."""
        return not self._over and (self._held or self._loop.time() >= self._good_until)

    @property
    def _over(self) -> bool:
        return self._runner._gate._over

    def _hold(self) -> None:
        if not self._over:
            self._held = True
            self._runner.hold("held")

    def _release(self, counts: float) -> None:
        if not self._over:
            self._held, self._good_until = False, self._loop.time() + counts
            self._runner.release(self._good_until)
