"""What a plan asks of noise, and what an update says that it has: differential privacy at a silo.

Two modes, which do not mix: each silo has noise enough of its own (`LocalNoise`), or all silos of a
masked sum have it together (`SharedNoise`). Nothing here says how many compounds a silo has: the
number of steps and the lot are the plan's.
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from agent.wire.document import Document, Sha256
from agent.wire.masking.terms import MaskRules
from agent.wire.recipe import Recipe

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Epsilon = Annotated[float, Field(gt=0, le=1000)]
_Delta = Annotated[float, Field(gt=0, le=1e-4)]
_Rate = Annotated[float, Field(ge=1e-4, le=1)]


class LocalNoise(Document):
    """Each silo trains with noise of its own (DP-SGD); whoever reads its update learns no more.

    Attributes:
        epsilon, delta: Of one compound with all its labels, for all rounds of the plan together.
            Each silo reckons the noise for it by itself (`agent.privacy.accounting`).
        clip: The norm to which a compound's gradient is clipped.
        sampling_rate: With which probability a step samples a compound. An epoch is as many steps
            as sample each compound once in the mean.
        masking: None: noise that is shared under the mask is the other mode.
    """

    mode: Literal["dp_sgd"] = "dp_sgd"
    masking: None = None
    epsilon: _Epsilon
    delta: _Delta
    clip: _Positive
    sampling_rate: _Rate

    def steps(self, recipe: Recipe) -> int:
        """Returns the steps of one round."""
        return math.ceil(recipe.local_epochs / self.sampling_rate)


class PaidNoise(LocalNoise):
    """What an update says of its noise: what the plan asked, and what the silo has spent.

    Attributes:
        noise: Its standard deviation over `clip`.
        epsilon_after, after_delta: Of everything that this silo spent so far, on whatever plan.
        account_head: The head of its chain of charges.
    """

    noise: _Positive
    epsilon_after: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    after_delta: Annotated[float, Field(gt=0, lt=1)]
    account_head: Sha256

    def asked(self) -> LocalNoise:
        """Returns what the plan asked."""
        return LocalNoise(**self.model_dump(include=set(LocalNoise.model_fields)))


class SharedNoise(Document):
    """One sampled sum of clipped gradients a round, under masks; each silo adds a share of noise.

    The promise is about whoever sees the sums, and holds as long as in each of them t silos
    (`masking.terms.threshold`) added their share and keep it to themselves; the others may lie.

    Attributes:
        masking: The masks: without them a share of the noise would protect hardly. What is summed
            are changes of weights, -learning_rate / batch_size times the gradients; they and the
            heads' biases are cut to its `clip`.
        epsilon, delta: Of one compound with all its labels, for all rounds of the plan together.
            Each silo checks by itself that `noise` keeps it (`agent.privacy.accounting`).
        noise: Standard deviation of the noise of t silos together, over `clip`.
        clip: The norm to which a compound's gradient is clipped.
        sampling_rate: With which probability a round samples a compound.
    """

    mode: Literal["shared_noise"] = "shared_noise"
    masking: MaskRules
    epsilon: _Epsilon
    delta: _Delta
    noise: _Positive
    clip: _Positive
    sampling_rate: _Rate


class PaidShare(SharedNoise):
    """What an update with a share of noise says: what the plan asked, and what the silo has spent.

    Attributes:
        epsilon_after, after_delta, account_head: As in `PaidNoise`.
    """

    epsilon_after: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    after_delta: Annotated[float, Field(gt=0, lt=1)]
    account_head: Sha256

    def asked(self) -> SharedNoise:
        """Returns what the plan asked."""
        return SharedNoise(**{name: getattr(self, name) for name in SharedNoise.model_fields})
