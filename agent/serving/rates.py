"""How many requests a caller may make: a bucket for each that fills up again (a token bucket)."""

_MAX_BUCKETS = 10_000


class Rates:
    """The buckets of all callers; one holds a minute's requests."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, per_minute: int, now_s: float) -> float:
        """Takes one request out of a caller's bucket.

        Args:
            name: The caller.
            per_minute: The rate; 0 is no limit.
            now_s: Seconds that never step back.

        Returns:
            0.0, or in how many seconds there will be one.
        """
        if not per_minute:
            return 0.0
        left, then_s = self._buckets.get(name, (float(per_minute), now_s))
        left = min(per_minute, left + (now_s - then_s) * per_minute / 60)
        if left < 1:
            self._buckets[name] = left, now_s
            return (1 - left) * 60 / per_minute
        if len(self._buckets) >= _MAX_BUCKETS and name not in self._buckets:
            self._forget(now_s)
        self._buckets[name] = left - 1, now_s
        return 0.0

    def _forget(self, now_s: float) -> None:
        # A bucket that nobody touched for a minute is full again: forgetting it gives nobody more.
        self._buckets = {
            name: bucket for name, bucket in self._buckets.items() if now_s - bucket[1] < 60
        }
