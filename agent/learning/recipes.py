"""How the default model is made, as data: alone, and together with other silos.

The values were chosen on the time split inside public sets (docs/modelling.md).
"""

from dataclasses import dataclass
from typing import Literal

from agent.learning.tasks import View


@dataclass(frozen=True, slots=True)
class LocalRecipe:
    """An ensemble that a silo trains on its own data alone.

    Attributes:
        members: Networks that differ in their seed.
        hidden: Widths of the hidden layers.
        hidden_too: Of every second member; empty for the same. Nothing of these networks travels,
            so they may be wide, and two kinds err less alike than one.
        epochs: Passes over the rows, under one cycle of the learning rate.
        learning_rate: The cycle's peak.
        dropout: Of the hidden layers.
        batch_size: Rows a step.
        recency_rate: As `recency.recency`.
        weight_decay: AdamW's.
        views: What the members see of the features, by runs, so that each width has each view;
            empty for everything. Networks that see differently err less alike.
    """

    members: int = 6
    hidden: tuple[int, ...] = (1024, 512)
    hidden_too: tuple[int, ...] = (512, 256, 256)
    epochs: int = 30
    learning_rate: float = 2e-3
    dropout: float = 0.2
    batch_size: int = 128
    recency_rate: float = 1.5
    weight_decay: float = 1e-4
    views: tuple[View, ...] = ()

    def widths(self, number: int) -> tuple[int, ...]:
        """Returns the hidden layers of a member, counted from 0."""
        return self.hidden_too if number % 2 and self.hidden_too else self.hidden

    def view(self, number: int) -> View | None:
        """Returns what a member sees, counted from 0; None for everything."""
        if not self.views:
            return None
        return self.views[number * len(self.views) // max(self.members, number + 1)]


@dataclass(frozen=True, slots=True)
class FederatedRecipe:
    """Rounds over the silos, then a strong fine-tuning at each.

    Attributes:
        rounds: How many, of all networks together.
        networks: Networks that rounds train in turn, see `agent.wire.members`; the learning rate's
            cycle spans the rounds of one. They answer with their mean.
        local_epochs: Passes of each silo in a round, at least.
        local_rows: A silo of fewer labelled compounds passes over them so often that it sees about
            as many rows in a round; else small silos take a handful of steps and learn nothing.
        hidden: Widths of the shared trunk; with nine heads, 4.99 MB of float32 in each update.
        weighting: How much a silo counts by its number n of labelled compounds.
        server_momentum: Of the averaged step.
        keep_moments: Whether a silo's optimizer remembers the round before.
        finetune_epochs, finetune_rate: Of the personal copy; the rate is a fraction of the peak.
        share: What the fine-tuned copies count in a prediction; the rest is the federated model's.
        released_share: The same where a head leans on the federated model.
        averaged_share: What all of this counts where a head is averaged with networks made alone.
        members: Fine-tuned copies that differ in their seed, and come from the networks in turn.
        views: What the networks see of the features, by turns, all of one size; empty for
            everything.
        learning_rate, dropout, batch_size, recency_rate, weight_decay: As in `LocalRecipe`; the
            recency holds for the fine-tuning and, in the rounds, for silos whose labels are dated.
    """

    rounds: int = 20
    networks: int = 2
    local_epochs: int = 2
    local_rows: int = 7_000
    hidden: tuple[int, ...] = (504, 256, 256)
    weighting: Literal["uniform", "sqrt_n", "n"] = "sqrt_n"
    server_momentum: float = 0.0
    keep_moments: bool = True
    finetune_epochs: int = 20
    finetune_rate: float = 1.0
    share: float = 1.0
    released_share: float = 0.25
    averaged_share: float = 0.3
    members: int = 3
    learning_rate: float = 2e-3
    dropout: float = 0.2
    batch_size: int = 128
    recency_rate: float = 1.5
    weight_decay: float = 1e-4
    views: tuple[View, ...] = ()

    @property
    def copies(self) -> int:
        """How many fine-tuned copies there are."""
        return self.members if self.finetune_epochs else 0

    def view(self, number: int) -> View | None:
        """Returns what a network sees, counted from 0; None for everything."""
        return self.views[number % len(self.views)] if self.views else None
