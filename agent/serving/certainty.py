"""How sure a release is of what it says: an interval, and whether the compound is inside."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.errors import Refused
from agent.features.rows import Features
from agent.learning.certainty import Certainty, read_certainty
from agent.learning.domain import Limits
from agent.learning.intervals import Said, Widths
from agent.learning.similarity import Index, Nearest
from agent.releases.card import ModelCard
from agent.releases.folder import CALIBRATION, NEIGHBOURS
from agent.serving.answers import Limit
from agent.serving.native import native_interval, rounded

Floats = npt.NDArray[np.float32]
_LIMITS: dict[tuple[bool, bool], tuple[Limit, ...]] = {
    (False, False): (),
    (True, False): ("similarity",),
    (False, True): ("spread",),
    (True, True): ("similarity", "spread"),
}


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is known of one prediction's error.

    Attributes:
        interval: 90 %, in the endpoint's unit, low end first; None where it was not calibrated.
        inside: Whether the compound lies in the endpoint's domain; None as for `interval`.
        similarity: To the nearest compound that this silo measured for the endpoint, 0 .. 1.
        spread: Standard deviation between the members, on the model's scale.
        outside_by: Which of the two says that it lies outside; empty inside.
    """

    interval: tuple[float, float] | None = None
    inside: bool | None = None
    similarity: float | None = None
    spread: float | None = None
    outside_by: tuple[Limit, ...] = ()


NOTHING_KNOWN = Doubt()


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What is known of the errors of n structures' predictions; (n, tasks) each.

    Attributes:
        low, high: float32, the interval's ends on the model's scale; NaN where there is none.
        similarity, spread: float32.
        far, apart: bool; whether similarity or spread says that it lies outside.
    """

    low: Floats
    high: Floats
    similarity: Floats
    spread: Floats
    far: npt.NDArray[np.bool_]
    apart: npt.NDArray[np.bool_]


class Judge:
    """The calibration and the known compounds of one release; safe to use from several threads."""

    def __init__(self, certainty: Certainty, nearest: Nearest, card: ModelCard) -> None:
        """Binds them to the columns of a graph."""
        self._widths = Widths.of(certainty.calibration)
        self._limits = Limits.of(certainty.domain)
        self._nearest = nearest
        self._transforms = [task.transform for task in card.tasks]

    @classmethod
    def load(cls, folder: Path, card: ModelCard) -> "Judge | None":
        """Loads what lies beside the graph.

        Returns:
            None for a release that was made before there were calibrations.

        Raises:
            Refused: `wrong_calibration`: it is of other tasks; or a code of `read_certainty` or
                `Index.load`.
        """
        if not (folder / CALIBRATION).exists():
            return None
        certainty, index = read_certainty(folder / CALIBRATION), Index.load(folder / NEIGHBOURS)
        wanted = tuple(task.task for task in card.tasks)
        limits = tuple(task.task for task in certainty.domain.tasks)
        if {certainty.tasks(), limits, index.tasks} != {wanted}:
            sentence = "The calibration beside the graph is of other endpoints; build it again."
            raise Refused("wrong_calibration", sentence)
        return cls(certainty, Nearest(index), card)

    def doubts(self, features: Features, mean: Floats, spread: Floats) -> list[list[Doubt]]:
        """Judges predictions.

        Args:
            features: n structures.
            mean: float32 (n, tasks), as the graph gives them.
            spread: The same shape; zeros where the graph has none.

        Returns:
            A row a structure, an entry a task.
        """
        found = self.judged(features, mean, spread)
        parts = found.low, found.high, found.similarity, found.spread, found.far, found.apart
        return [self._row(row) for row in zip(*(part.tolist() for part in parts), strict=True)]

    def judged(self, features: Features, mean: Floats, spread: Floats) -> Judged:
        """Judges predictions, as `doubts` does, in arrays."""
        similarity = self._nearest.similarity(features)
        low, high = self._widths.ends(Said(mean, spread), similarity)
        far, apart = self._limits.outside(spread, similarity)
        return Judged(low, high, similarity, spread, far, apart)

    def _row(self, row: Iterable[Sequence[float]]) -> list[Doubt]:
        return [
            Doubt(
                None if math.isnan(low) else native_interval(low, high, transform),
                not (far or apart),
                rounded(near),
                rounded(spread),
                _LIMITS[bool(far), bool(apart)],
            )
            for transform, low, high, near, spread, far, apart in zip(
                self._transforms, *row, strict=True
            )
        ]
