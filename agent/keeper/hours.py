"""The hours of the day in which training may start."""

from dataclasses import dataclass
from datetime import datetime

_DAY = 24


@dataclass(frozen=True, slots=True)
class Hours:
    """From the full hour `first` up to `last`, on this host's clock; over midnight if need be.

    Attributes:
        first: 0 to 23.
        last: 0 to 24; as large as `first` means the whole day.
    """

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> "Hours | None":
        """Reads `18-07`, which the configuration has checked; None for an empty text: always."""
        if not text:
            return None
        first, _, last = text.partition("-")
        return cls(int(first), int(last))

    def has(self, local: datetime) -> bool:
        """Tells whether a moment, in local time, is one of them."""
        since = (local.hour - self.first) % _DAY
        return since < ((self.last - self.first) % _DAY or _DAY)

    def __str__(self) -> str:
        """Returns it as people write it."""
        return f"{self.first:02}:00 to {self.last:02}:00"
