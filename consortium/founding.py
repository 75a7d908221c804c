"""Founding a consortium: keys, certificate, trust root, first roster and catalogue."""

import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path

from agent.clock import to_text
from agent.errors import Stop
from agent.files import publish_folder, sha256_bytes, write_atomic
from agent.keys import SigningIdentity, new_signing
from agent.wire.documents import RoleKeys, TrustRoot
from agent.wire.signed import key_id, parse, sign
from consortium.catalogue import default_catalogue
from consortium.ceremony import FirstFiles, begin, open_channels
from consortium.certificate import is_loopback, make_certificate
from consortium.folder import Folder, Settings, Signers
from consortium.publish import publish, publish_roster
from consortium.repository import open_repository
from consortium.store import Store

_ROOT_VALID_FOR = timedelta(days=3650)


def found(
    root: Path, settings: Settings, now: datetime, *, officers: int = 3, threshold: int = 2
) -> None:
    """Lays out a new aggregator's folder; all of it appears at once, or nothing.

    Args:
        root: The folder to make.
        settings: What never changes afterwards.
        now: Everything holds from here.
        officers: How many keys each offline role of the release repository has.
        threshold: How many of them must sign.

    Raises:
        Stop: The folder exists, there are fewer keys than must sign, or plain HTTP was asked for
            on a host that is not loopback.
        OSError: The disk is full or the folder is not writable.
    """
    if root.exists():
        raise Stop(f"{root} exists; name a new folder, a consortium is founded once.")
    if threshold > officers:
        raise Stop(f"{threshold} of {officers} keys cannot sign; name more officers.")
    if not settings.tls and not is_loopback(settings.host):
        raise Stop("Plain HTTP is for loopback hosts only; leave TLS on.")
    root.parent.mkdir(parents=True, exist_ok=True)
    staged = root.with_name(f".{root.name}.{os.getpid()}.founding")
    shutil.rmtree(staged, ignore_errors=True)
    folder = Folder(staged)
    for path in (staged, *folder.folders()):
        path.mkdir(mode=0o750)
    folder.settings_file.write_bytes(settings.to_bytes())
    _write_certificate(folder, settings, now)
    first = begin(folder.offline, folder.keys, officers, threshold, now)
    signers = _make_keys(folder, settings, sha256_bytes(first.root), now)
    _publish_first(folder, settings, signers, first, now)
    publish_folder(staged, root)


def root_sha256(folder: Folder) -> str:
    """Returns SHA-256 of the trust root's payload, which tokens carry.

    Raises:
        Stop: The file is missing.
    """
    try:
        return sha256_bytes(parse(folder.trust_root.read_bytes()).payload)
    except OSError as error:
        raise Stop(f"Cannot read {folder.trust_root}; restore it from backup.") from error


def _make_keys(
    folder: Folder, settings: Settings, release_root_sha256: str, now: datetime
) -> Signers:
    root = new_signing("root")
    # Rosters and plans have a key of their own, so that the root's can be locked away at once.
    signers = Signers(new_signing("root"), new_signing("aggregator"))
    trust = TrustRoot(
        consortium=settings.consortium,
        version=1,
        roles={
            "root": _role(root),
            "roster": _role(signers.offline),
            "plan": _role(signers.offline),
            "aggregator": _role(signers.aggregator),
        },
        release_root_sha256=release_root_sha256,
        expires=to_text(now + _ROOT_VALID_FOR),
    )
    write_atomic(folder.trust_root, sign("root", trust.to_bytes(), root))
    root.save(folder.keys / "root.key")
    signers.offline.save(folder.keys / "offline.key")
    signers.aggregator.save(folder.keys / "aggregator.key")
    return signers


def _role(key: SigningIdentity) -> RoleKeys:
    return RoleKeys(threshold=1, keys={key_id(key.public_hex): key.public_hex})


def _write_certificate(folder: Folder, settings: Settings, now: datetime) -> None:
    if settings.tls:
        key, certificate = make_certificate(settings.host, now)
        write_atomic(folder.tls_key, key, 0o400)
        write_atomic(folder.certificate, certificate)


def _publish_first(
    folder: Folder, settings: Settings, signers: Signers, first: FirstFiles, now: datetime
) -> None:
    store = Store(folder.database)
    try:
        with store.writing() as session:
            catalogue = default_catalogue(settings.consortium)
            publish(session, "catalogue", catalogue, signers.offline)
            publish_roster(session, settings.consortium, signers.offline, now)
            open_channels(session, open_repository(folder), first, now)
    finally:
        store.close()
