"""States of the release repository: believed as a whole, and the newest release announced.

One letter is one state, so that nothing is ever half of one and half of another. Floors, the state
itself and the release's row are committed together; a kill in between leaves the letter.
"""

import logging
from datetime import datetime
from typing import Final

from agent import log
from agent.boxes import Inbox
from agent.clock import to_text
from agent.errors import Refused
from agent.keeper.timekeeping import latest_time
from agent.ledger.book import Detail, Item, Ledger
from agent.releases.arrival import believe_manifest
from agent.wire.documents import ReleaseManifest
from agent.wire.repository import (
    MANIFEST,
    Channel,
    Offer,
    Repository,
    RepositoryFiles,
    newest_files,
)
from agent.wire.trusted import Trusted

_log = logging.getLogger(__name__)
_RELEASE: Final = "release"  # the kind, and the floor under releases' versions


def take_repository(
    content: bytes,
    channel: Channel,
    ledger: Ledger,
    trusted: Trusted,
    inbox: Inbox,
    now: datetime,
) -> None:
    """Believes a state of the repository; call it in the transaction that takes the letter.

    A release that cannot be believed is set aside by itself: the state it came with stands.

    Raises:
        Refused: A code of `Trusted.take_repository`, or `version_too_large`.
    """
    judged = latest_time(ledger, now)
    repository = trusted.take_repository(content, channel, judged, ledger.floor)
    for name, version in repository.floors.items():
        ledger.raise_floor(name, version)
    ledger.put_document("repository", "current", content, now)
    _book_freshness(ledger, repository, now)
    _drop_withdrawn(ledger, repository, now)
    newest = repository.offers[-1] if repository.offers else None
    if newest is None or newest.version <= ledger.floor(_RELEASE):
        return
    try:
        _announce(newest, ledger, trusted, inbox, now)
    except Refused as error:
        log.trouble(_log, "release refused", release=newest.release_id, code=error.code)
        detail: Detail = {"kind": _RELEASE, "code": error.code, "reason": error.reason}
        ledger.add("letter", newest.files[MANIFEST].sha256[:32], "refused", now, detail)


def fresh_until(ledger: Ledger) -> str:
    """Returns when the state that is believed must have been followed by another, or nothing."""
    return (ledger.document("repository", "fresh until") or b"").decode()


def newest_objects(ledger: Ledger) -> frozenset[str]:
    """Returns the hashes of what the newest releases consist of, as the believed state has it."""
    content = ledger.document("repository", "current")
    if content is None:
        return frozenset()
    return frozenset(one.sha256 for one in newest_files(RepositoryFiles.parse(content), "canary"))


def release_objects(item: Item) -> list[str]:
    """Returns the hashes of what a release consists of beside its manifest."""
    objects = item.detail.get("objects")
    if isinstance(objects, dict):
        return [str(sha256) for sha256 in objects.values()]
    return [ReleaseManifest.model_validate_json(str(item.detail["manifest"])).weights_sha256]


def _announce(offer: Offer, ledger: Ledger, trusted: Trusted, inbox: Inbox, now: datetime) -> None:
    judged, floor = latest_time(ledger, now), ledger.floor(_RELEASE)
    manifest, content = believe_manifest(offer, trusted, inbox.object_path, judged, floor)
    ledger.put_document(_RELEASE, manifest.release_id, content, now)
    ledger.raise_floor(_RELEASE, manifest.version)
    detail: Detail = {
        "version": manifest.version,
        "manifest": manifest.model_dump_json(),
        "objects": {
            name: one.sha256 for name, one in sorted(offer.files.items()) if name != MANIFEST
        },
    }
    ledger.add(_RELEASE, manifest.release_id, "announced", now, detail)


def _drop_withdrawn(ledger: Ledger, repository: Repository, now: datetime) -> None:
    offered = {offer.release_id for offer in repository.offers}
    for item in ledger.find("release", "announced", "fetched"):
        if item.id not in offered:
            why = "The consortium withdrew it, or moved it to another channel."
            ledger.move(item, "refused", now, why)


def _book_freshness(ledger: Ledger, repository: Repository, now: datetime) -> None:
    until = to_text(repository.fresh_until)
    ledger.put_document("repository", "fresh until", until.encode(), now)
