"""Training with noise as the template of a plan says it, round by round, for the benchmarks."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agent.learning.private import Terms
from agent.learning.settings import Settings
from agent.privacy.accounting import calibrate
from agent.wire.documents import LocalNoise
from consortium.plans import Draft, read_draft

DRAFT = read_draft(Path(__file__).parents[1] / "config_templates" / "plan_noise.toml")
RECIPE = DRAFT.recipe
DELTA = 1e-5
_calibrated = cache(calibrate)  # each of many models asks for the same


def _asked(draft: Draft) -> LocalNoise:
    if not isinstance(draft.privacy, LocalNoise):
        raise TypeError("the template asks for no noise")
    return draft.privacy


_ASKED = _asked(DRAFT)


@dataclass(frozen=True, slots=True)
class Noise:
    """How a silo trains with noise.

    Attributes:
        epsilon: Of all rounds together.
        rounds: With Adam anew in each, as a silo does.
        steps: Of one round.
        rate, lot, learning_rate, clip: As in the plan.
    """

    epsilon: float
    rounds: int = RECIPE.rounds
    steps: int = _ASKED.steps(RECIPE)
    rate: float = _ASKED.sampling_rate
    lot: int = RECIPE.batch_size
    learning_rate: float = RECIPE.learning_rate
    clip: float = _ASKED.clip

    def terms(self) -> Terms:
        """Returns a round's."""
        noise = _calibrated(self.epsilon, DELTA, self.rate, self.steps * self.rounds)
        return Terms(noise, self.clip, self.rate, self.steps, self.lot)

    def settings(self, number: int, seed: int) -> Settings:
        """Returns those of a round, counted from 0."""
        return Settings(
            epochs=1,
            learning_rate=self.learning_rate,
            weight_decay=RECIPE.weight_decay,
            seed=seed * self.rounds + number,
            window=(number / self.rounds, (number + 1) / self.rounds),
            threads=1,
            device="cpu",
        )
