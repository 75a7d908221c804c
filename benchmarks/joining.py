"""What silos gain by joining: alone, together, and all data in one place, judged on one exam."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.assays.split import fold_of
from agent.keeper.evaluation.gather import Gathered
from agent.learning.comparing import Interval, paired
from benchmarks.held_out import Split
from benchmarks.measured import part
from benchmarks.models import Doubles, Exam, Recipes, train

SILOS, POOR = 5, 300
_FOLD_KEY = "66697665" + "0" * 56  # another than that of the scaffolds that are held out


@dataclass(slots=True, eq=False)
class Said:
    """What the models of one silo said of the exam's measurements, by seed."""

    alone: list[Doubles] = field(default_factory=list)
    together: list[Doubles] = field(default_factory=list)

    def ask(
        self, parts: Split, own: Gathered, others: Sequence[Gathered], recipes: Recipes, seed: int
    ) -> None:
        """Trains a silo's model alone and together with others, with one more seed.

        How each head answers is chosen on the newest of the silo's own compounds; the exam's are
        newer still.
        """
        asked = parts.exam.features
        validation = parts.validation(own.compounds)
        alone = train(recipes.learner(seed), own, [], (), asked)
        joined = train(recipes.learner(seed, together=True), own, others, validation, asked)
        self.alone.append(parts.exam.said(alone.answer.mean))
        self.together.append(parts.exam.said(joined.answer.mean))


def errors(exam: Exam, said: Sequence[Doubles]) -> list[Doubles]:
    """Returns the absolute errors of the measurements, by seed."""
    return [np.abs(one - exam.values) for one in said]


def difference(
    exam: Exam, column: int, first: Sequence[Doubles], second: Sequence[Doubles]
) -> Interval:
    """Compares the mean errors of two models on one endpoint, over compounds and seeds.

    Args:
        exam: What they were asked.
        column: The endpoint.
        first: As `errors`.
        second: As `errors`, by the same seeds.

    Returns:
        The first's minus the second's, with its 95 % interval.
    """
    rows = exam.of_task(column)

    def over(off: Doubles) -> "Mean":
        return Mean(off[rows])

    pairs = [over(one) for one in first], [over(one) for one in second]
    return paired(*pairs, len(rows), groups=exam.rows[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Mean:
    """The mean of some of the errors, as a figure."""

    off: Doubles

    def __call__(self, taken: npt.NDArray[np.int64]) -> float:
        """Returns the mean over some rows."""
        return float(self.off[taken].mean())


def worse(exam: Exam, said: Said) -> list[str]:
    """Returns the endpoints whose error grew by joining, beyond the paired interval."""
    alone, together = errors(exam, said.alone), errors(exam, said.together)
    return [
        exam.tasks[column].name
        for column in exam.judged
        if difference(exam, column, together, alone).low > 0
    ]


def silos_of(parts: Split) -> list[Gathered]:
    """Draws five silos from what is learned from: whole scaffolds go to one of them."""
    groups = dict(parts.known.group_by("compound_key").agg(pl.col("fold_group").min()).iter_rows())
    folds = {key: fold_of(groups[key], _FOLD_KEY, SILOS) for key in parts.own.compounds}
    drawn = [{key for key, fold in folds.items() if fold == number} for number in range(SILOS)]
    return [part(parts.own, keys, f"silo{number}") for number, keys in enumerate(drawn) if keys]


def poor(silo: Gathered, seed: int) -> Gathered:
    """Returns 300 of a silo's compounds, drawn."""
    count = min(POOR, len(silo.compounds))
    chosen = np.random.default_rng(seed).choice(len(silo.compounds), count, replace=False)
    return part(silo, {silo.compounds[row] for row in chosen}, silo.silo.name)


@dataclass(frozen=True, slots=True, eq=False)
class Five:
    """Five silos' models and the pooled one, by seed."""

    exam: Exam
    silos: list[Said]
    pooled: list[Doubles]

    @classmethod
    def trained(cls, parts: Split, recipes: Recipes, seeds: int) -> "Five":
        """Trains all of them."""
        silos = silos_of(parts)
        found = cls(parts.exam, [Said() for _ in silos], [])
        for seed in range(seeds):
            pooled = train(recipes.learner(seed), parts.own, [], (), parts.exam.features)
            found.pooled.append(parts.exam.said(pooled.answer.mean))
            for place, (own, said) in enumerate(zip(silos, found.silos, strict=True)):
                said.ask(parts, own, silos[:place] + silos[place + 1 :], recipes, seed)
        return found

    def closed(self) -> Iterator[tuple[str, list[float]]]:
        """Yields each endpoint with a gap, and the share of it that is closed, by seed.

        A gap counts where the interval of local minus pooled error, over compounds and seeds, lies
        above zero. Errors are means over the silos, all judged on the same measurements.
        """
        alone = self._over_silos([said.alone for said in self.silos])
        together = self._over_silos([said.together for said in self.silos])
        pooled = errors(self.exam, self.pooled)
        for column in self.exam.judged:
            if difference(self.exam, column, alone, pooled).low > 0:
                rows = self.exam.of_task(column)
                three = zip(alone, together, pooled, strict=True)
                means = [[float(one[rows].mean()) for one in each] for each in three]
                shares = [(a - t) / (a - p) for a, t, p in means]
                yield self.exam.tasks[column].name, shares

    def _over_silos(self, said: Sequence[Sequence[Doubles]]) -> list[Doubles]:
        """Returns each seed's errors, the mean over the silos."""
        by_silo = [errors(self.exam, one) for one in said]
        return [np.mean(of_seed, axis=0) for of_seed in zip(*by_silo, strict=True)]
