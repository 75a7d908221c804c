"""The configuration: one TOML file -> frozen sections; unknown keys refused, every fault at once.

The silo's name, the aggregator's address and its keys are not here: enrolment pins them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from agent.errors import Stop
from agent.serve_settings import ServeSection as ServeSection
from agent.serve_settings import serve_faults
from agent.toml import AbsolutePath as AbsolutePath
from agent.toml import PathOrNone as PathOrNone
from agent.toml import Section as Section
from agent.toml import parse_toml

DEFAULT_CONFIG = Path("/etc/onggi/onggi.toml")


def _hours(text: str) -> str:
    if text and not _HOURS.fullmatch(text):
        raise ValueError('must be two hours of the day such as "18-07", or empty for always')
    return text


_HOURS = re.compile(r"([01][0-9]|2[0-3])-([01][0-9]|2[0-4])")

# What a store of each kind cannot do without.
_NEEDED: dict[object, tuple[str, ...]] = {
    "kmelloddy": ("path",),
    "table": ("path", "profile"),
    "sdf": ("path", "profile"),
    "database": ("url", "query", "watermark", "key", "profile"),
}

HoursOfDay = Annotated[str, AfterValidator(_hours)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
StoreName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
EndpointId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]


class Site(Section):
    """Where this silo keeps its state."""

    state: AbsolutePath = Path("/var/lib/onggi")
    legal_entity: str = ""


class Store(Section):
    """One place that measurements come from: a watched folder, or a query against a database.

    Attributes:
        kind: `kmelloddy` (standard workbooks and CSV), `table` (CSV, TSV,
            XLSX, Parquet and SDF by a profile), `sdf` (by a profile), or `database` (by a
            profile).
        path: The watched folder; not for `database`.
        profile: The mapping profile; not for `kmelloddy`, which needs none.
        url: SQLAlchemy URL without its password, which `password_file` holds.
        watermark: A column that grows with every change (a time or a number).
        key: A column that names the row.
        overlap_s: How long a transaction of the database may take, in seconds, without its rows
            being missed; for a watermark that is a time. 0 turns it off.
    """

    name: StoreName
    kind: Literal["kmelloddy", "table", "sdf", "database"]
    path: AbsolutePath | None = None
    profile: AbsolutePath | None = None
    url: str = ""
    query: str = ""
    watermark: str = ""
    key: str = ""
    password_file: AbsolutePath | None = None
    poll_s: Seconds = 60.0
    overlap_s: Annotated[float, Field(ge=0, le=30 * 86_400)] = 3600.0


class PrivateEndpoint(Section):
    """An endpoint of this silo alone: its head never leaves. Fields as in the catalogue."""

    id: EndpointId
    name: str
    group: Literal["A", "D", "M", "E", "T", "P"] = "P"
    kind: Literal["regression", "classification"] = "regression"
    unit: str = ""
    transform: Literal["identity", "log10", "neg_log10_molar", "log10_plus_1"] = "identity"
    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    positive: Annotated[tuple[str, ...], Field(strict=False)] = ()
    negative: Annotated[tuple[str, ...], Field(strict=False)] = ()


class KeeperSection(Section):
    """How the keeper watches its stores and treats its workers."""

    sweep_s: Seconds = 60.0
    settle_s: Seconds = 2.0
    attempts: Annotated[int, Field(ge=1, le=10)] = 3


class CourierSection(Section):
    """How the courier talks to the aggregator, through the company's proxy if one is set."""

    poll_s: Annotated[float, Field(ge=0, le=25)] = 20.0
    retry_max_s: Seconds = 60.0


class ExchangeSection(Section):
    """By what the silo and the consortium exchange files.

    Attributes:
        carrier: `https`, or `folder`: then this silo opens no connection of its own.
        folder: What the courier watches with carrier `folder`. Without one no courier runs, and a
            person carries with `onggi carry`.
        ca_file: Certificates (PEM) to trust beside the pinned one: a company's own authority,
            whose proxy opens TLS.
    """

    carrier: Literal["https", "folder"] = "https"
    folder: PathOrNone = None
    ca_file: PathOrNone = None


class TrainingSection(Section):
    """What a training job may use of this host. `threads = 0` means every core.

    Attributes:
        min_labels: Training labels that a task needs, whatever its quorum.
        quorum_labels, quorum_uncensored: Labelled compounds that a regression needs, and how many
            of them without a qualifier.
        quorum_each_class: Compounds of each class that a classification needs.
        members: Copies of a release that are fitted here, each with another seed.
        hours: Local hours in which training may start, from the first up to the last, such as
            `18-07`; empty means always. What began goes on to its end.
        min_new_rows: New measurements that make a new snapshot worth its training; with fewer it
            comes a day after the first of them.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    min_labels: Annotated[int, Field(ge=2)] = 20
    quorum_labels: Annotated[int, Field(ge=0)] = 50
    quorum_uncensored: Annotated[int, Field(ge=0)] = 25
    quorum_each_class: Annotated[int, Field(ge=0)] = 25
    members: Annotated[int, Field(ge=1, le=16)] = 2
    hours: HoursOfDay = ""
    min_new_rows: Annotated[int, Field(ge=1)] = 1


class ReleasesSection(Section):
    """Which releases this silo takes: `canary` also those that are tried first."""

    channel: Literal["canary", "stable"] = "stable"


class GateSection(Section):
    """When a new release is refused: heads that got worse beyond chance, and by more than a limit.

    Attributes:
        max_worsening: Of a head's error, relative to that of the active release.
        min_labels: Held-out measurements that a head needs to be judged.
        confidence: Of the interval that a worsening must clear to be more than chance.
        heads_may_worsen: So many heads may be worse by more than the limit all the same.
        window_days: The measurements of so many days before a head's newest are compared.
        tell: What the consortium learns of a release that was taken or refused: nothing, the
            class of the reason, or the outcome of each shared head, too.
        let_pass: Hashes of weights that may be checked again although they were refused.
    """

    max_worsening: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.25
    min_labels: Annotated[int, Field(ge=1)] = 20
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    heads_may_worsen: Annotated[int, Field(ge=0)] = 0
    window_days: Annotated[int, Field(ge=1, le=36_500)] = 365
    tell: Literal["nothing", "class", "heads"] = "class"
    let_pass: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()


class PolicySection(Section):
    """Where the site's policy is, and who signs it off.

    Attributes:
        officer: The officer's public signing key in hexadecimal; empty pins the key of the first
            sign-off that the keeper sees.
    """

    file: AbsolutePath = Path("/etc/onggi/policy.toml")
    officer: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""


class Config(Section):
    """The whole configuration of a silo."""

    site: Site = Site()
    keeper: KeeperSection = KeeperSection()
    courier: CourierSection = CourierSection()
    exchange: ExchangeSection = ExchangeSection()
    training: TrainingSection = TrainingSection()
    releases: ReleasesSection = ReleasesSection()
    gate: GateSection = GateSection()
    policy: PolicySection = PolicySection()
    serve: ServeSection = ServeSection()
    store: tuple[Store, ...] = ()
    private: tuple[PrivateEndpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of the state (docs/architecture.md), derived from `site.state` alone."""

    state: Path

    @property
    def ledger(self) -> Path:
        """The keeper's SQLite file."""
        return self.state / "ledger.sqlite3"

    @property
    def keys(self) -> Path:
        """The keeper's own keys: sign and seal."""
        return self.state / "keys"

    @property
    def trust(self) -> Path:
        """What enrolment pinned."""
        return self.state / "trust"

    @property
    def outbox(self) -> Path:
        """Sealed envelopes on their way out."""
        return self.state / "outbox"

    @property
    def inbox(self) -> Path:
        """Signed files on their way in."""
        return self.state / "inbox"

    @property
    def parts(self) -> Path:
        """Curated files, one folder each."""
        return self.state / "parts"

    @property
    def spool(self) -> Path:
        """What the database readers bring, one folder a store."""
        return self.state / "spool"

    @property
    def snapshots(self) -> Path:
        """Frozen inputs of training."""
        return self.state / "snapshots"

    @property
    def models(self) -> Path:
        """Private heads between rounds, and the features' cache."""
        return self.state / "models"

    @property
    def jobs(self) -> Path:
        """One folder for each job of a worker."""
        return self.state / "jobs"

    @property
    def releases(self) -> Path:
        """Verified releases and the link to the active one."""
        return self.state / "releases"

    @property
    def status(self) -> Path:
        """What the keeper tells predict and people."""
        return self.state / "status"

    @property
    def requests(self) -> Path:
        """What people ask of the keeper by commands; it takes and removes them."""
        return self.state / "requests"

    @property
    def courier(self) -> Path:
        """The courier's own state and key."""
        return self.state / "courier"

    @property
    def predict(self) -> Path:
        """The endpoint's own state."""
        return self.state / "predict"

    def create(self) -> None:
        """Makes the folders that are not there; those that are keep their owners and modes.

        Raises:
            Stop: A folder cannot be made.
        """
        for folder in self.folders():
            make_folder(folder)

    def folders(self) -> Iterator[Path]:
        """Yields every folder of the state, parents first."""
        yield self.state
        yield from (self.keys, self.trust, self.outbox, self.inbox, self.inbox / "objects")
        yield from (self.parts, self.spool, self.snapshots, self.models, self.jobs)
        yield from (self.releases, self.status, self.requests)
        yield from (self.courier, self.predict)


def make_folder(folder: Path) -> None:
    """Makes a folder of the state, and those above it, unless it is there.

    Raises:
        Stop: It cannot be made.
    """
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise Stop(
            f"Cannot make the folder {folder} ({error.strerror}); make it, or name another under "
            "site.state."
        ) from error


def load(path: Path) -> Config:
    """Reads the configuration.

    Raises:
        Stop: The file cannot be read, or it has faults: all of them, each with its path.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Stop(
            f"Cannot read {path}: {error.strerror}. Name another file with --config."
        ) from error
    return parse_toml(Config, content, path, "config_templates/onggi.toml", _cross_checks)


def _cross_checks(raw: dict[str, object]) -> list[str]:
    serve = raw.get("serve")
    return [
        *_store_faults(raw.get("store")),
        *_doubled_names(raw),
        *(serve_faults(serve) if isinstance(serve, dict) else ()),
    ]


def _store_faults(stores: object) -> Iterator[str]:
    for number, store in enumerate(stores if isinstance(stores, list) else ()):
        kind = store.get("kind") if isinstance(store, dict) else None
        if kind not in _NEEDED:
            continue  # the field check says so
        where = f"  store[{number}]: a store of kind {kind!r}"
        if missing := [name for name in _NEEDED[kind] if not store.get(name)]:
            yield f"{where} needs {', '.join(missing)}"
        if kind == "database" and store.get("path"):
            yield f"{where} has no path; its reader fills a spool"


def _doubled_names(raw: dict[str, object]) -> Iterator[str]:
    for table, key in (("store", "name"), ("private", "id")):
        entries = raw.get(table)
        rows = entries if isinstance(entries, list) else []
        names = [str(row[key]) for row in rows if isinstance(row, dict) and key in row]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"  {table}: two entries are named {name!r}"
