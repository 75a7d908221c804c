"""What the keeper orders from a worker, and what it gets back; both are JSON files in the job."""

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from agent.keeper.evaluation.order import EvaluateOrder, Evaluation
from agent.wire.documents import (
    Catalogue,
    Document,
    Endpoint,
    FeatureSpec,
    Plan,
    ReleaseManifest,
    RoundManifest,
)

CHECKPOINT = "checkpoint"  # in a job's folder: where its training stood when its worker died

REFERENCE = "reference.sqlite3"  # in a reference's job: what predict may show

MOMENTS = "moments.safetensors"  # in a round's folder: what its optimizer remembers


class TaskScore(Document):
    """One error on held-out compounds; None where it is not defined."""

    task: str
    metric: str
    value: float | None
    n_train: int
    n_test: int


class ShadowRule(Document):
    """How a candidate is compared with the active release, see `releases.gate.GateRules`."""

    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    window_days: Annotated[int, Field(ge=1)] = 365
    min_labels: Annotated[int, Field(ge=1)] = 20


class PairScore(Document):
    """Two models' errors on the same measurements, see `releases.gate.Pair`."""

    task: str
    metric: str
    candidate: float | None
    active: float | None
    n: int
    low: float | None
    high: float | None
    since: str


class FileOrder(Document):
    """One file of a store to read; size and time tell whether it changed meanwhile."""

    item: str
    path: str
    size: int
    mtime_ns: int


class IngestOrder(Document):
    """Read files of one store and curate them into parts.

    Attributes:
        reader: How to read them: `kmelloddy`, `table`, `sdf`, `spool`.
        profile: Path of the mapping profile, or empty for the standard format's own.
        parts: Folder in which each part gets a folder named by its id.
        identities: The cache of what structures are, or empty for none.
        processes: How many may standardize structures; 0 means one a core.
    """

    kind: Literal["ingest"] = "ingest"
    store: str
    reader: Literal["kmelloddy", "table", "sdf", "spool"]
    profile: str
    catalogue: Catalogue
    private: tuple[Endpoint, ...]
    parts: str
    files: tuple[FileOrder, ...]
    identities: str = ""
    processes: int = 1


class QuorumRule(Document):
    """What a task needs before it is trained, see `assays.quorum.Quorum`; 0 asks for nothing."""

    labels: int = 0
    uncensored: int = 0
    each_class: int = 0


class Settings(Document):
    """What a training job may use of this host, and which tasks it may train.

    Attributes:
        members: Copies of a release that are fitted here, each with a seed of its own.
    """

    device: Literal["auto", "cpu", "cuda"]
    threads: int
    min_labels: int
    quorum: QuorumRule = QuorumRule()
    members: Annotated[int, Field(ge=1)] = 2


class PartOrder(Document):
    """One part of the snapshot, in the order in which later rows replace earlier ones."""

    store: str
    folder: str


class SnapshotOrder(Document):
    """Join parts into the frozen input of training, with its features.

    Attributes:
        previous: Folder of the last snapshot, or empty: what changed is told against it.
        quorum: What a task needs.
        replicate_limits: The most that replicates may disagree, by task.
    """

    kind: Literal["snapshot"] = "snapshot"
    snapshot: str
    parts: tuple[PartOrder, ...]
    plan: Plan
    cache: str
    folder: str
    previous: str = ""
    quorum: QuorumRule = QuorumRule()
    replicate_limits: dict[str, float] = Field(default_factory=dict)


class ReferenceOrder(Document):
    """Write what predict may show of a snapshot's compounds.

    Attributes:
        name: What the file is called, by what it is made from.
        snapshot: The frozen snapshot's id.
        folder: Where it is.
        features: What its features are.
        catalogue, private: Which unit each endpoint has.
        share: See `config.ReferenceSection`.
    """

    kind: Literal["reference"] = "reference"
    name: str
    snapshot: str
    folder: str
    features: FeatureSpec
    catalogue: Catalogue
    private: tuple[Endpoint, ...]
    share: Literal["values", "similarity"]


class TrainingOrder(Document):
    """What every job that trains needs.

    Attributes:
        snapshot: The frozen snapshot's id.
        folder: Where it is.
        private: This silo's own endpoints.
    """

    snapshot: str
    folder: str
    plan: Plan
    catalogue: Catalogue
    private: tuple[Endpoint, ...]
    settings: Settings


class BaselineOrder(TrainingOrder):
    """Train the model that this silo could make alone, and score it on held-out compounds."""

    kind: Literal["baseline"] = "baseline"


class RoundOrder(TrainingOrder):
    """Train from a round's base weights and pack the update.

    Attributes:
        moments: This silo's optimizer as the round before left it, or empty.
        noise: What was paid for, under a plan with noise: its deviation over the clip.
    """

    kind: Literal["round"] = "round"
    manifest: RoundManifest
    base: str
    private_weights: str
    moments: str = ""
    noise: float = 0.0


class ReleaseOrder(TrainingOrder):
    """Check a release's weights, fit the personal model, export it, score it and the active one.

    Attributes:
        container: The signed manifest as received (JSON text).
        active: Folder of the active release, or empty.
        private_weights: Private heads from the last round, or empty.
        local_scores: Of the model that this silo could make alone, for the card.
        golden: Where the golden molecules are; empty where the manifest names none.
        shadow: How candidate and active release are compared.
    """

    kind: Literal["release"] = "release"
    release_id: str
    manifest: ReleaseManifest
    container: str
    weights: str
    active: str
    private_weights: str
    local_scores: tuple[TaskScore, ...]
    golden: str = ""
    shadow: ShadowRule = ShadowRule()


Order = (
    IngestOrder
    | SnapshotOrder
    | ReferenceOrder
    | BaselineOrder
    | RoundOrder
    | ReleaseOrder
    | EvaluateOrder
)
_ORDER: TypeAdapter[Order] = TypeAdapter(Annotated[Order, Field(discriminator="kind")])


def parse_order(content: bytes) -> Order:
    """Reads an order that the keeper wrote."""
    return _ORDER.validate_json(content)


class FileResult(Document):
    """What became of one file.

    Attributes:
        part: Id of its part, or empty when it was refused or changed.
        changed: It changed while it was read: look again later.
        used, set_aside, blank: Measurements by what became of them; they add up to `read`.
        refused: Sentence, or empty.
    """

    item: str
    sha256: str = ""
    part: str = ""
    changed: bool = False
    read: int = 0
    used: int = 0
    set_aside: int = 0
    blank: int = 0
    code: str = ""
    refused: str = ""


class TaskStanding(Document):
    """How a task stands in a snapshot.

    Attributes:
        waits: What its quorum lacks, as a sentence; empty where it is met.
        noisy: Its replicates disagree by more than the catalogue's limit.
        drifted: Its labels moved since the last snapshot.
    """

    task: str
    n: int
    censored: int
    met: bool
    waits: str
    noisy: bool
    drifted: bool


class Coverage(Document):
    """How much of an endpoint was measured here, and when: numbers for people, no values.

    Attributes:
        compounds: That have a label.
        measurements: That the labels are made of.
        newest: ISO date of the newest, or None.
        by_year: Compounds by the year of their newest measurement; those without a date nowhere.
    """

    compounds: int
    measurements: int
    newest: str | None = None
    by_year: dict[str, int] = Field(default_factory=dict)


class Result(Document):
    """What a worker hands back; the kind of the order says which fields count.

    Attributes:
        refused_code, refused: Why the order could not be done, by name and in a sentence;
            trying again would help only where the code is `try_later`.
        files: For an ingest.
        compounds, labels, tasks, changes, coverage: For a snapshot; `changes` counts rows against
            the last.
        scores, active_scores: For a baseline and a release.
        pairs: For a release: candidate and active one on the newest measurements.
        groups: For a round: groups of tensors in the update.
        reference_sha256, feature_sha256: For a round: what this host's features really are.
        evaluation: For an evaluation.
        seconds: Time the work took.
        cpu_s: Processor time of the worker and its helpers.
        peak_mb: The most memory that the worker or one of its helpers had at once, in MiB.
    """

    refused_code: str = ""
    refused: str = ""
    files: tuple[FileResult, ...] = ()
    compounds: int = 0
    labels: dict[str, int] = Field(default_factory=dict)
    tasks: tuple[TaskStanding, ...] = ()
    changes: dict[str, int] = Field(default_factory=dict)
    coverage: dict[str, Coverage] = Field(default_factory=dict)
    scores: tuple[TaskScore, ...] = ()
    active_scores: tuple[TaskScore, ...] = ()
    pairs: tuple[PairScore, ...] = ()
    groups: tuple[str, ...] = ()
    reference_sha256: str = ""
    feature_sha256: str = ""
    evaluation: Evaluation | None = None
    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0


class Progress(Document):
    """How far a running job is, for `onggi status` and the demo's display."""

    stage: str
    done: int
    total: int


Report = Callable[[str, int, int], None]
"""Told by the work how far it is: the stage, how much is done, how much there is in all."""
