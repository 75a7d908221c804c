"""Founding a consortium: keys, certificate, trust root, first roster and catalogue."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from agent.clock import to_text
from agent.errors import Stop
from agent.files import publish_folder, sha256_bytes, write_atomic
from agent.keys import SigningIdentity, new_signing
from agent.wire.documents import TrustRoot
from agent.wire.signed import Signer, parse, sign
from consortium.catalogue import default_catalogue
from consortium.ceremony import FirstFiles, begin, open_channels
from consortium.certificate import is_loopback, make_certificate
from consortium.folder import Folder, Settings
from consortium.publish import publish
from consortium.repository import open_repository
from consortium.roots import (
    MAX_OFFICERS,
    OFFLINE_ROLES,
    first_root,
    published_roots,
    role_keys,
)
from consortium.rosters import first_roster
from consortium.store import Store

ROOT_VALID_FOR = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Council:
    """How many officers there are, and how many of them must sign."""

    officers: int = 3
    threshold: int = 2


def found(root: Path, settings: Settings, now: datetime, council: Council | None = None) -> None:
    """Lays out a new aggregator's folder; all of it appears at once, or nothing.

    Args:
        root: The folder to make.
        settings: What never changes afterwards.
        now: Everything holds from here.
        council: How many officers there are, and how many must sign.

    Raises:
        Stop: The folder exists, plain HTTP was asked for on a host that is not loopback, or the
            threshold is above the number of officers.
        OSError: The disk is full or the folder is not writable.
    """
    if root.exists():
        raise Stop(f"{root} exists; name a new folder, a consortium is founded once.")
    if not settings.tls and not is_loopback(settings.host):
        raise Stop("Plain HTTP is for loopback hosts only; leave TLS on.")
    council = council or Council()
    if not 1 <= council.threshold <= council.officers <= MAX_OFFICERS:
        raise Stop(
            f"{council.threshold} of {council.officers} officers cannot be; name at most "
            f"{MAX_OFFICERS} officers and a threshold between 1 and their number."
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    staged = root.with_name(f".{root.name}.{os.getpid()}.founding")
    shutil.rmtree(staged, ignore_errors=True)
    folder = Folder(staged)
    for path in (staged, *folder.folders()):
        path.mkdir(mode=0o750)
    folder.offline.chmod(0o700)
    folder.settings_file.write_bytes(settings.to_bytes())
    _write_certificate(folder, settings, now)
    first = begin(folder.offline, folder.keys, council.officers, council.threshold, now)
    officers = _make_keys(folder, settings, council, sha256_bytes(first.root), now)
    _publish_first(folder, settings, officers, first, now)
    publish_folder(staged, root)


def root_sha256(folder: Folder, session: Session | None = None) -> str:
    """Returns SHA-256 of a trust root's payload.

    Args:
        folder: The aggregator's folder.
        session: Asks for the root in force, which tokens carry; without it, for the first one.

    Raises:
        Stop: The first root's file is missing.
    """
    if session is not None:
        return sha256_bytes(parse(published_roots(session, folder)[-1]).payload)
    return sha256_bytes(parse(first_root(folder)).payload)


def _make_keys(
    folder: Folder,
    settings: Settings,
    council: Council,
    release_root_sha256: str,
    now: datetime,
) -> tuple[SigningIdentity, ...]:
    officers = tuple(new_signing("officer", now) for _ in range(council.officers))
    aggregator = new_signing("aggregator", now)
    offline = role_keys(council.threshold, [key.public_hex for key in officers])
    trust = TrustRoot(
        consortium=settings.consortium,
        version=1,
        roles={
            **dict.fromkeys(OFFLINE_ROLES, offline),
            "aggregator": role_keys(1, [aggregator.public_hex]),
        },
        release_root_sha256=release_root_sha256,
        expires=to_text(now + ROOT_VALID_FOR),
    )
    write_atomic(folder.trust_root, sign("root", trust.to_bytes(), *officers))
    for number, officer in enumerate(officers, 1):
        officer.save(folder.offline / f"officer-{number}.key")
    aggregator.save(folder.aggregator_key)
    return officers


def _write_certificate(folder: Folder, settings: Settings, now: datetime) -> None:
    if settings.tls:
        key, certificate = make_certificate(settings.host, now)
        write_atomic(folder.tls_key, key, 0o400)
        write_atomic(folder.certificate, certificate)


def _publish_first(
    folder: Folder,
    settings: Settings,
    officers: Sequence[Signer],
    first: FirstFiles,
    now: datetime,
) -> None:
    store = Store(folder.database)
    try:
        with store.writing() as session:
            publish(session, "catalogue", default_catalogue(settings.consortium), *officers)
            publish(session, "roster", first_roster(settings.consortium, now), *officers)
            open_channels(session, open_repository(folder), first, now)
    finally:
        store.close()
