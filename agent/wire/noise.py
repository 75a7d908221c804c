"""What a plan asks of noise, and what an update says that it has: differential privacy at a silo.

Nothing here says how many compounds a silo has: the number of steps and the lot are the plan's.
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from agent.wire.document import Document, Sha256
from agent.wire.recipe import Recipe

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LocalNoise(Document):
    """Each silo trains with noise of its own (DP-SGD); whoever reads its update learns no more.

    Attributes:
        epsilon, delta: Of one compound with all its labels, for all rounds of the plan together.
            Each silo reckons the noise for it by itself (`agent.privacy.accounting`).
        clip: The norm to which a compound's gradient is clipped.
        sampling_rate: With which probability a step samples a compound. An epoch is as many steps
            as sample each compound once in the mean.
        masking: None: noise that is shared under the mask is another mode, which is not built.
    """

    mode: Literal["dp_sgd"] = "dp_sgd"
    masking: None = None
    epsilon: Annotated[float, Field(gt=0, le=1000)]
    delta: Annotated[float, Field(gt=0, le=1e-4)]
    clip: _Positive
    sampling_rate: Annotated[float, Field(ge=1e-4, le=1)]

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
