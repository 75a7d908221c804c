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
    Recipe,
    Sha256,
)

Transform = Literal["identity", "log10", "neg_log10_molar", "log10_plus_1"]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Measure = Annotated[float, Field(ge=0, allow_inf_nan=False)]
LAYOUT: Literal[2] = (
    2  # of the cards that are written; 1 has none of the fields that have a default
)


class Way(Document):
    """One of the models that a head is mixed from.

    Attributes:
        name: `federated` is the release as it came; `personal` its copy fitted here; `local` what
            this silo made alone.
        share: Of the answer; the shares of a head add up to 1.
        error: On the window that the choice was made on, in the task's metric, if it was measured
            on labels that this model had not learned from.
    """

    name: Literal["federated", "personal", "local"]
    share: Share
    error: Measure | None = None


class Level(Document):
    """How many of the newest labels lay in the intervals of one level."""

    predicted: Share
    observed: Share


class CurveBin(Document):
    """The error of compounds between two similarities; see `learning.domain.Bin`."""

    low: Share
    high: Share
    n: Annotated[int, Field(ge=1)]
    error: Measure
    width: Measure | None
    coverage: Share | None


class Confidence(Document):
    """How sure a head is, and where.

    Attributes:
        n: Exact labels that its intervals were calibrated on.
        pooled: They were too few; all endpoints were calibrated together.
        width: Mean width of the 90 % intervals of these compounds, on the model's scale.
        levels: Coverage of newer labels than those which calibrated; empty where they are few.
        similarity: Inside the domain from here on.
        spread: Inside up to here; None where members do not tell.
        curve: The error against similarity, from far to near.
    """

    n: Count
    pooled: bool
    width: Measure | None
    levels: tuple[Level, ...]
    similarity: Share
    spread: Measure | None
    curve: tuple[CurveBin, ...]


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
        local_interval, release_interval: 95 % bootstrap intervals of the errors.
        ways: What the head is mixed from, and why; empty on old cards.
        n_compared: The newest training labels that the choice was made on; 0 where there was none.
        average_error: What mixing the ways by the plan's shares came to on these.
        confidence: None where nothing was measured, and on old cards.
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
    local_interval: tuple[Finite, Finite] | None = None
    release_interval: tuple[Finite, Finite] | None = None
    ways: tuple[Way, ...] = ()
    n_compared: Count = 0
    average_error: Measure | None = None
    confidence: Confidence | None = None


class Window(Document):
    """The labels that this silo's part was learned and judged on; dates may be empty texts."""

    first: str
    last: str
    compounds: Count
    labels: Count


class Cost(Document):
    """What making the release took on this host."""

    seconds: Measure
    peak_mb: Measure


class ModelCard(Document):
    """Everything that predict must know about a release besides its graph.

    Attributes:
        created: When the consortium made it.
        gated: When this silo's gate let it pass.
        tasks: In the order of the graph's output columns.
        reference_sha256: Hash over the features of the reference structures.
        layout: Which fields to expect; old cards say nothing and are of layout 1.
        recipe: How it was trained, in the plan's words.
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
    layout: Literal[1, 2] = 1
    recipe: Recipe | None = None
    window: Window | None = None
    cost: Cost | None = None


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
