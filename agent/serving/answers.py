"""What a loaded release answers; apart from the models, so that the HTTP process loads none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from agent.records import InvalidStructure, Structure
from agent.releases.card import ModelCard

Limit = Literal["similarity", "spread"]  # what may put a compound outside a model's domain
FAILED_STEP = "predict"  # of a structure that was fine, and whose answer was no number


Qualifier = Literal["<", "=", ">"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """One endpoint's prediction.

    Attributes:
        value: In `unit`; the probability of the positive class for a classification.
        model_value: On the model's scale.
        unit: The endpoint's canonical unit; empty for a class.
        interval, inside, similarity, spread, outside_by: As of `certainty.Doubt`; None or empty on
            old releases.
    """

    value: float
    model_value: float
    unit: str
    interval: tuple[float, float] | None = None
    inside: bool | None = None
    similarity: float | None = None
    spread: float | None = None
    outside_by: tuple[Limit, ...] = ()


Answer = dict[str, Estimate] | InvalidStructure


@dataclass(frozen=True, slots=True)
class Explanation:
    """What each atom contributes to the predictions of one structure.

    Attributes:
        smiles: The structure as the model read it.
        contributions: By endpoint, one number for each atom in the order of `smiles`: by how much
            the prediction falls, on the model's scale, without the atom.
        svg: The atoms coloured by it, for the endpoint that was asked for; else empty.
    """

    smiles: str
    contributions: dict[str, list[float]]
    svg: str = ""


class Answering(Protocol):
    """A release that is loaded, here or in other processes."""

    @property
    def card(self) -> ModelCard:
        """Its card."""

    def predict(self, structures: Sequence[tuple[str, Structure]]) -> list[Answer]:
        """Predicts every endpoint of every structure, in order."""
