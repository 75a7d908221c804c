"""A set of the data folder, split: what is learned from, and what it is judged on."""

from dataclasses import dataclass

import polars as pl

from agent.errors import Stop
from agent.keeper.evaluation.gather import Gathered, without
from agent.keeper.evaluation.judge import VALIDATION_SHARE
from agent.keeper.evaluation.run import SCAFFOLD_FOLDS, TIME_SHARE
from agent.keeper.evaluation.split import held_back, newest_compounds, scaffold_compounds
from benchmarks.measured import Sets
from benchmarks.models import Exam


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The two parts.

    Attributes:
        sets: What was read.
        held: Keys of the compounds to judge on.
        own: The problem of all others.
        known: Their measurements, as `agent.keeper.evaluation.read.Measured`.
        exam: What is judged on.
    """

    sets: Sets
    held: frozenset[str]
    own: Gathered
    known: pl.DataFrame
    exam: Exam

    def validation(self, compounds: tuple[str, ...] | None = None) -> frozenset[str]:
        """Returns the newest of the compounds, or scaffolds of them where nothing is dated."""
        frame = self.known
        if compounds is not None:
            frame = frame.filter(pl.col("compound_key").is_in(list(compounds)))
        return held_back(frame, VALIDATION_SHARE)

    def others(self) -> list[Gathered]:
        """Returns the other silos' problems, without the compounds to judge on."""
        found = (self.sets.problem(table, self.held) for table in self.sets.others)
        return [one for one in found if one]


def split(sets: Sets) -> Split:
    """Holds the newest 18 % of the compounds back, or a fifth of the scaffolds without dates.

    Raises:
        Stop: Too little is left.
    """
    frame = sets.own[1]
    held = newest_compounds(frame, TIME_SHARE) or scaffold_compounds(frame, SCAFFOLD_FOLDS)
    own = sets.problem(sets.own, held)
    if own is None or not held:
        raise Stop(f"The set {sets.own[0]} has too few measurements to be split; give all of it.")
    test = frame.filter(pl.col("compound_key").is_in(list(held)))
    exam = Exam.of(test, own.silo.tasks, sets.cache)
    return Split(sets, held, own, without(frame, held), exam)
