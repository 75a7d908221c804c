"""The model card: what a release predicts, from how much data, and how well; built on site."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agent.errors import Refused
from agent.files import write_atomic
from agent.releases.folder import CARD
from agent.wire.documents import (
    Document,
    FeatureSpec,
    Finite,
    Moment,
    Name,
    NetworkSpec,
    Sha256,
)

Transform = Literal["identity", "log10", "neg_log10_molar", "log10_plus_1"]
Count = Annotated[int, Field(ge=0)]


class TaskCard(Document):
    """One column of the model's output.

    Attributes:
        task: A catalogue endpoint's id, or `private:NAME`; the name in answers.
        name: For people.
        unit: Canonical unit of native values; empty for a class.
        transform: From native to model scale, as in the catalogue.
        n_train, n_test: This silo's own labels.
        metric: What the two errors are, e.g. `mae` on the model scale.
        error_local: Of the silo's own model on its held-out compounds, if it was measured.
        error_release: Of this release on the same compounds, if it was measured.
        private: Whether the head is this silo's alone.
    """

    task: str
    name: str
    kind: Literal["regression", "classification"]
    unit: str
    transform: Transform
    n_train: Count
    n_test: Count
    metric: str
    error_local: Finite | None
    error_release: Finite | None
    private: bool


class ModelCard(Document):
    """Everything that predict must know about a release besides its graph.

    Attributes:
        created: When the consortium made it.
        gated: When this silo's gate let it pass.
        tasks: In the order of the graph's output columns.
        reference_sha256: Hash over the features of the reference structures.
    """

    kind: Literal["card"] = "card"
    release_id: Name
    version: Annotated[int, Field(ge=1)]
    created: Moment
    plan_id: Name
    tasks: Annotated[tuple[TaskCard, ...], Field(min_length=1)]
    features: FeatureSpec
    network: NetworkSpec
    gated: Moment
    reference_sha256: Sha256


def write_card(folder: Path, card: ModelCard) -> None:
    """Writes the card into a folder that is being staged.

    Raises:
        OSError: The disk is full or the folder is not writable.
    """
    write_atomic(folder / CARD, card.to_bytes())


def read_card(folder: Path) -> ModelCard:
    """Reads the card of a release.

    Raises:
        Refused: `no_card`, or a code of `Document.parse`.
    """
    try:
        content = (folder / CARD).read_bytes()
    except OSError as error:
        raise Refused("no_card", f"The release has no readable {CARD}; build it again.") from error
    return ModelCard.parse(content)
