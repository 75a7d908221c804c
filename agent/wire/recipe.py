"""The part of a plan that says how to train."""

from typing import Annotated, Literal

from pydantic import Field

from agent.wire.document import Count, Document

Aggregation = Literal["mean", "median", "trimmed_mean", "krum"]


class Recipe(Document):
    """How to train, in numbers only: nothing in it can make a silo run code.

    Attributes:
        weighting: How much a silo counts, by its number n of labelled compounds.
        weight_cap: No silo counts for more, whatever it says of n; `uniform` is always 1.
        release_every: A release after every so many rounds, and after the last.
        finetune_epochs, finetune_rate: Each silo's personal copy of a release is trained for so
            many epochs at this fraction of the learning rate; it never leaves.
        personal_share: Where a head is averaged, the part of the answer that comes from those
            copies; halfway was better than either end in validation (docs/modelling.md).
        held_back: The newest part of each task's labels that rounds do not learn from, so that a
            silo can choose each head on labels that the federated model has not seen.
        recency_rate: A label counts exp(-rate * age), its age the share of its task's labels that
            are newer; 0 lets all count alike, and so do labels without dates.
        optimizer: How the aggregator steps by the mean update: `momentum`, or `adam` (FedAdam,
            Reddi et al. 2021, arXiv:2003.00295), whose first moment decays by `server_momentum`.
        server_rate: Adam's rate at the aggregator; `momentum` takes the whole step.
        proximal: mu of FedProx: what holds a round's trunk near its base; 0 does not.
        keep_moments: The silo goes on from its own optimizer's moments of the round before; they
            never leave it.
        aggregate: How the silos' updates become one: their weighted mean, or a rule that a few
            lying silos cannot own (`wire.robust`), for which the aggregator must see each update.
    """

    rounds: Annotated[int, Field(ge=1, le=500)]
    local_epochs: Annotated[int, Field(ge=1, le=200)]
    batch_size: Annotated[int, Field(ge=8, le=65536)]
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    weighting: Literal["uniform", "sqrt_n", "n"]
    weight_cap: Annotated[float, Field(ge=1, le=1e6)] = 1000.0
    server_momentum: Annotated[float, Field(ge=0, lt=1)]
    release_every: Count
    finetune_epochs: Annotated[int, Field(ge=0, le=200)]
    finetune_rate: Annotated[float, Field(gt=0, le=1)] = 0.3
    personal_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    held_back: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    recency_rate: Annotated[float, Field(ge=0, le=100)] = 1.5
    optimizer: Literal["momentum", "adam"] = "momentum"
    server_rate: Annotated[float, Field(gt=0, le=1)] = 0.01
    proximal: Annotated[float, Field(ge=0, le=1e3)] = 0.0
    keep_moments: bool = False
    aggregate: Aggregation = "mean"
