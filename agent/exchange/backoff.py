"""How long to leave the other side alone after a failure."""

import random


class BackOff:
    """Exponential with jitter, capped, and back to the start after a success.

    After "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), its "equal jitter": half
    of the wait is fixed, so that a silo never hammers, and half is random, so that many silos do
    not come back together.

    Args:
        first_s: The longest first wait, in seconds.
        cap_s: The longest wait of all, in seconds.
    """

    def __init__(self, first_s: float = 1.0, cap_s: float = 60.0) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._failures = 0
        self._random = random.SystemRandom()

    def failed(self) -> float:
        """Counts one more failure and returns how long to wait, in seconds."""
        longest = min(self._cap_s, self._first_s * 2.0 ** min(self._failures, 60))
        self._failures += 1
        return longest * self._random.uniform(0.5, 1.0)

    def succeeded(self) -> None:
        """Forgets the failures."""
        self._failures = 0
