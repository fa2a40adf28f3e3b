"""When a call is made again: only where that can help, and never past the caller's deadline.

No clock and no chance of its own is in here: both are given, so that tests can say what they do.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tiderace.errors import ResourceExhausted, TideraceError, Unavailable

FIRST_PAUSE = 0.02
"""Seconds before the second attempt, before chance takes up to half of them away."""

LONGEST_PAUSE = 1.0
"""Pauses double up to here."""

PASSING = (Unavailable, ResourceExhausted)
"""What passes by itself. Nothing else is asked for again."""


@dataclass
class Attempts:
    """The attempts of one call."""

    deadline: float
    now: Callable[[], float]
    chance: Callable[[], float]
    """Gives a number from 0 to 1, another each time, so that many clients do not come back at once."""
    failed: int = 0

    def seconds_left(self) -> float:
        """Says how long the next attempt may take."""
        return max(0.0, self.deadline - self.now())

    def pause_after(self, failure: TideraceError) -> float:
        """Says how long to wait before the next attempt; raises `failure` where there is none."""
        self.failed += 1
        if not isinstance(failure, PASSING):
            raise failure
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.failed - 1, 16))
        pause = longest * (0.5 + 0.5 * self.chance())
        if pause >= self.seconds_left():
            failure.add_note(f"after {self.failed} attempts; the deadline allows no other")
            raise failure
        return pause
