"""What an evaluation is asked and what it answers, as JSON."""

from typing import Annotated, Literal

from pydantic import Field

from agent.wire.documents import Catalogue, Document

Figure = float | None
"""None where a figure is not defined, such as a rank correlation of two compounds."""


class SourceFile(Document):
    """A file, and the profile that says what its columns mean."""

    path: str
    profile: str


class SiloFiles(Document):
    """Another silo: its name and files."""

    name: str
    files: tuple[SourceFile, ...]


class EvaluateOrder(Document):
    """Train on files and judge on later ones.

    Attributes:
        data: What is learned from.
        test: What is judged on, read through the same profile; empty: the data is split, by time
            first and by scaffold second.
        silos: With whom the model is made.
        catalogue: Endpoints that profiles may name by rules; profiles that list their assays
            need none.
        cache: Folder of the caches of structures and features, which a later run uses again.
        seed: Of everything that is drawn.
        threads: CPU cores to use; 0 means all.
        baseline: Also train LightGBM on the same features.
    """

    kind: Literal["evaluate"] = "evaluate"
    data: SourceFile
    test: str = ""
    silos: tuple[SiloFiles, ...] = ()
    catalogue: Catalogue | None = None
    cache: str
    seed: Annotated[int, Field(ge=0, lt=1000)] = 0
    threads: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    baseline: bool = False


class EndpointFigures(Document):
    """How well one endpoint was predicted, on the scale that is modelled.

    Attributes:
        n: Measurements that were judged.
        mae: Mean absolute error.
        rae: `mae` over that of predicting the judged measurements' own mean.
        spearman: Rank correlation.
        coverage_90: Share of the measurements within their 90 % interval.
    """

    n: int
    mae: Figure
    rae: Figure
    spearman: Figure
    coverage_90: Figure


class EndpointDetail(Document):
    """What else is known of an endpoint.

    Attributes:
        choice: `personal`, `averaged`, `federated` or `released`: how its head answers.
        n_train: Labels that were trained on.
        mae_95: Percentile bootstrap interval of the error, low and high.
        r2: Coefficient of determination.
        auroc, auprc: For a class.
        half_width_90: Half of the 90 % intervals, on average; they differ by compound.
        validation: Error of each way to answer on the newest training compounds.
        baseline_mae, baseline_rae: LightGBM's.
        against_baseline_95: Paired interval of this model's error minus the baseline's.
    """

    choice: str
    n_train: int
    mae_95: tuple[Figure, Figure]
    r2: Figure
    auroc: Figure = None
    auprc: Figure = None
    half_width_90: Figure = None
    validation: dict[str, Figure] = Field(default_factory=dict)
    baseline_mae: Figure = None
    baseline_rae: Figure = None
    against_baseline_95: tuple[Figure, Figure] | None = None


class Judgement(Document):
    """One split's figures, by endpoint, in the profile's order.

    Attributes:
        split: `test`, `time` or `scaffold`.
        mean_rae: Plain mean over the endpoints that have one.
        baseline_mean_rae: LightGBM's.
        train_seconds: Time that training took, choosing and training again.
        compounds: Of the silo itself, in training and in the test.
    """

    split: Literal["test", "time", "scaffold"]
    endpoints: dict[str, EndpointFigures]
    details: dict[str, EndpointDetail]
    mean_rae: Figure
    baseline_mean_rae: Figure = None
    train_seconds: float
    compounds: tuple[int, int]


class FileAccount(Document):
    """What became of a file's measurements; reasons by code."""

    file: str
    used: int
    set_aside: dict[str, int]


class Evaluation(Document):
    """What an evaluation came to; the first judgement is the one that counts."""

    judgements: tuple[Judgement, ...]
    files: tuple[FileAccount, ...]
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = Field(default_factory=dict)
