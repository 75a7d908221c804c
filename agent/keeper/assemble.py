"""Builds a keeper from a configuration: which part gets which folder, and nothing else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from agent.assays.endpoints import together
from agent.boxes import Inbox, Outbox
from agent.clock import Clock
from agent.config import Config, GateSection, Paths, Store, TrainingSection
from agent.errors import Refused, Stop
from agent.files import clear_drafts, exclusive
from agent.keeper import site_report, status
from agent.keeper.auditing import Auditing
from agent.keeper.dispatch import Dispatch
from agent.keeper.hours import Hours
from agent.keeper.identity import OwnKeys
from agent.keeper.intake import Intake, Source
from agent.keeper.jobs import Workers
from agent.keeper.leaving import Leaving
from agent.keeper.loop import INBOX, WORKER, Keeper, Rhythm, StatusFile, StatusFiles
from agent.keeper.mail import Mail
from agent.keeper.masking import Masking, Own
from agent.keeper.orders import QuorumRule, Settings
from agent.keeper.pipeline import Pipeline
from agent.keeper.policing import Policing, PolicyFile, last_known
from agent.keeper.reference import References
from agent.keeper.rollout import Rollout
from agent.keeper.site import Site
from agent.keeper.snapshots import Snapshots
from agent.keeper.statements import Statements
from agent.keeper.training import Rounds
from agent.keeper.trust import open_trust
from agent.keeper.upkeep import tidy
from agent.keeper.verdicts import Verdicts
from agent.key_ring import RingKey, seal_folder
from agent.ledger.book import Ledger
from agent.notify import NOBODY, Notify
from agent.records import Json
from agent.releases.attempts import Attempts
from agent.releases.gate import GateRules
from agent.stores.profile import load_profile
from agent.wire.documents import Endpoint, Enrolment
from agent.wire.signed import Signer
from agent.wire.trusted import Trusted


@contextmanager
def keeper(
    config: Config,
    queue: SimpleQueue[str],
    clock: Clock,
    notify: Notify = NOBODY,
    ring: RingKey | None = None,
) -> Iterator[Keeper]:
    """Opens everything that a keeper needs, and closes it again.

    Args:
        config: The configuration.
        queue: Through which the keeper is woken.
        clock: The time.
        notify: Hears how the keeper stands.
        ring: Opens this silo's keys, and seals those that still lie plain.

    Raises:
        Stop: The silo is not enrolled, its trust is not valid, or a key or the ledger is bad.
        TryLater: Another keeper works on this state.
    """
    paths = Paths(config.site.state)
    paths.create()
    enrolment = read_enrolment(paths)
    with exclusive(paths.state / "keeper.lock"), Ledger(paths.ledger) as ledger:
        hours = Hours.parse(config.training.hours)
        attempts = config.keeper.attempts
        workers = Workers(ledger, paths.jobs, attempts, lambda: queue.put(WORKER), hours=hours)
        seal_folder(paths.keys, ring)
        clear_drafts(paths.models)
        trusted = _trusted(paths, enrolment, ledger, clock)
        us = Us(enrolment, trusted, OwnKeys(paths.keys, paths.outbox, enrolment.silo, ring))
        pipeline, intake = _stages(config, paths, us, ledger, workers)
        folders = {store.name: source_folder(store, paths) for store in config.store}
        folders[INBOX] = paths.inbox
        rhythm = Rhythm(config.keeper.sweep_s, config.keeper.settle_s)
        build = _status_builder(ledger, workers, enrolment.silo, config.gate.let_pass)
        people = _site_builder(ledger)
        files = StatusFiles(
            StatusFile(paths.status / "keeper.json", build, paths.status / "metrics/keeper.prom"),
            StatusFile(paths.status / site_report.FILE, people),
        )
        sweep_up = partial(tidy, ledger, Inbox(paths.inbox), paths.snapshots)
        try:
            yield Keeper(pipeline, intake, folders, queue, rhythm, files, sweep_up, clock, notify)
        finally:
            workers.stop()


def read_enrolment(paths: Paths) -> Enrolment:
    """Reads what enrolment agreed on.

    Raises:
        Stop: There is none yet, it is damaged, or a newer program wrote it.
    """
    try:
        note = Enrolment.parse((paths.trust / "enrolment.json").read_bytes())
    except (OSError, Refused) as error:
        raise Stop("This silo is not enrolled; run `onggi enroll --token TOKEN` first.") from error
    if note.format != 1:
        raise Stop(f"A newer Onggi wrote {paths.trust}; install that version again.")
    return note


def source_folder(store: Store, paths: Paths) -> Path:
    """Returns the folder that is watched for a store: its own, or its reader's spool."""
    return store.path if store.path is not None else paths.spool / store.name


def private_endpoints(config: Config) -> tuple[Endpoint, ...]:
    """Returns this silo's own endpoints as the catalogue writes them.

    They are those of the configuration and of its stores' profiles, as they are now. A profile that
    cannot be read declares none: its store's files are refused, by name.

    Raises:
        Stop: Two of them have one id and differ.
    """
    profiles = []
    for store in config.store:
        with suppress(Stop):
            profiles += [load_profile(store.profile)] if store.profile else []
    configured = [Endpoint.model_validate(own.model_dump()) for own in config.private]
    return together(configured, *(profile.own_endpoints for profile in profiles))


def training_settings(section: TrainingSection) -> Settings:
    """Returns what a training job may use."""
    return Settings(
        device=section.device,
        threads=section.threads,
        min_labels=section.min_labels,
        quorum=QuorumRule(
            labels=section.quorum_labels,
            uncensored=section.quorum_uncensored,
            each_class=section.quorum_each_class,
        ),
        members=section.members,
    )


def gate_rules(section: GateSection) -> GateRules:
    """Returns what the gate tolerates."""
    return GateRules(
        max_worsening=section.max_worsening,
        min_n=section.min_labels,
        confidence=section.confidence,
        heads_may_worsen=section.heads_may_worsen,
        window_days=section.window_days,
    )


def _source(store: Store, paths: Paths) -> Source:
    return Source(
        name=store.name,
        reader="spool" if store.kind == "database" else store.kind,
        folder=source_folder(store, paths),
        profile=str(store.profile) if store.profile else "",
    )


@dataclass(frozen=True, slots=True)
class Us:
    """Who this silo is, whom it believes, and by what it signs."""

    enrolment: Enrolment
    trusted: Trusted
    own: OwnKeys


def _trusted(paths: Paths, enrolment: Enrolment, ledger: Ledger, clock: Clock) -> Trusted:
    try:
        return open_trust(paths.trust, enrolment.root_sha256, ledger, clock())
    except (Refused, OSError) as error:
        raise Stop(f"What enrolment pinned is no longer valid: {error} Enrol again.") from error


def _stages(
    config: Config, paths: Paths, us: Us, ledger: Ledger, workers: Workers
) -> tuple[Pipeline, Intake]:
    enrolment, trusted, own = us.enrolment, us.trusted, us.own
    inbox, outbox = Inbox(paths.inbox), Outbox(paths.outbox)
    # The policy that was signed off when the keeper started: a stricter gate is part of it.
    gate = last_known(ledger).gate or config.gate
    intake = _intake(config, paths, ledger, workers)
    site = Site(
        private_endpoints(config),
        training_settings(config.training),
        paths.models / "private.safetensors",
    )
    cache = paths.models / "features.sqlite3"
    rounds = Rounds(ledger, workers, inbox, outbox, trusted, own, enrolment.silo, site)
    pipeline = Pipeline(
        ledger,
        workers,
        trusted,
        Mail(inbox, ledger, trusted, enrolment.silo, own, config.releases.channel),
        intake,
        Snapshots(
            ledger,
            workers,
            paths.parts,
            paths.snapshots,
            cache,
            site,
            config.training.min_new_rows,
        ),
        rounds,
        Rollout(
            ledger,
            workers,
            inbox,
            trusted,
            paths.releases,
            Attempts(paths.predict),
            gate_rules(gate),
            site,
            frozenset(gate.let_pass),
            Verdicts(ledger, outbox, own, enrolment.silo, gate.tell),
        ),
        site,
        _leaving(config, paths, enrolment, ledger, trusted, Outgoing(outbox, own)),
        References(ledger, workers, paths.reference, config.reference.share, site.private),
        _masking(paths, enrolment, ledger, trusted, rounds, Outgoing(outbox, own)),
    )
    return pipeline, intake


def _intake(config: Config, paths: Paths, ledger: Ledger, workers: Workers) -> Intake:
    return Intake(
        [_source(store, paths) for store in config.store],
        ledger,
        workers,
        paths.parts,
        config.keeper.settle_s,
        identities=paths.models / "identities.sqlite3",
        processes=config.training.threads,
    )


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Where what leaves waits, and who signs it."""

    outbox: Outbox
    signer: Signer


def _masking(
    paths: Paths,
    enrolment: Enrolment,
    ledger: Ledger,
    trusted: Trusted,
    rounds: Rounds,
    out: Outgoing,
) -> Masking:
    silo = enrolment.silo
    statements = Statements(ledger, out.outbox, out.signer, silo, enrolment.consortium)
    own = Own(silo, out.signer, paths.models)
    return Masking(ledger, trusted, rounds, statements, Inbox(paths.inbox), own)


def _leaving(
    config: Config,
    paths: Paths,
    enrolment: Enrolment,
    ledger: Ledger,
    trusted: Trusted,
    out: Outgoing,
) -> Leaving:
    silo = enrolment.silo
    statements = Statements(ledger, out.outbox, out.signer, silo, enrolment.consortium)
    file = PolicyFile(ledger, config.policy.file, config.policy.officer)
    return Leaving(
        ledger,
        paths.requests,
        Policing(ledger, trusted, statements, silo, file),
        Dispatch(ledger, out.outbox),
        statements,
        Auditing(ledger, paths.courier / "transport.ndjson"),
    )


def _status_builder(
    ledger: Ledger, workers: Workers, silo: str, let_pass: tuple[str, ...]
) -> Callable[[], Json]:
    known: tuple[int, status.Report] = (-1, {})

    def build() -> Json:
        nonlocal known
        if known[0] != ledger.revision:
            known = (ledger.revision, status.report(ledger, silo, let_pass))
        running = workers.progress()
        job: Json = None
        if running is not None:
            progress = running[1].model_dump() if running[1] else {}
            job = {"id": running[0], **progress}
        return {**known[1], "job": job}

    return build


def _site_builder(ledger: Ledger) -> Callable[[], Json]:
    known: tuple[int, site_report.Report] = (-1, {})

    def build() -> Json:
        nonlocal known
        if known[0] != ledger.revision:
            known = (ledger.revision, site_report.report(ledger))
        return known[1]

    return build
