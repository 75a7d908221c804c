"""A release as files: from the repository's state to the last byte that it names.

The keeper believes the state and the manifest, the worker reads the weights; `verify_release` is
both in one, for whoever has the files and wants to know.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from agent.boxes import check_object, read_object
from agent.errors import Refused
from agent.wire.documents import ReleaseManifest
from agent.wire.repository import MANIFEST, Channel, Floor, Offer
from agent.wire.trusted import Trusted

Where = Callable[[str], Path]


def believe_manifest(
    offer: Offer, trusted: Trusted, where: Where, now: datetime, floor: int
) -> tuple[ReleaseManifest, bytes]:
    """Reads the manifest of an offered release, and believes it; returns its bytes, too.

    Args:
        offer: Of a believed state of the repository.
        trusted: Knows the plans.
        where: Returns the path of an object by its hash (`Inbox.object_path`).
        now: For expiry.
        floor: Version of the newest release so far.

    Raises:
        Refused: `wrong_object`, or a code of `Trusted.take_release`.
    """
    listed = offer.files[MANIFEST]
    content = read_object(where(listed.sha256), listed.sha256, listed.bytes)
    return trusted.take_release(offer, content, now, floor), content


def verify_release(
    letter: bytes, channel: Channel, trusted: Trusted, where: Where, now: datetime, floor: Floor
) -> ReleaseManifest:
    """Verifies the newest release of a channel from files, offline; each is read once.

    Args:
        letter: The state of the repository, as a carrier brought it.
        channel: The silo's own.
        trusted: With the trust root that pins the repository, and the release's plan.
        where: Returns the path of an object by its hash.
        now: The latest time that this host has shown.
        floor: The floors of the ledger.

    Returns:
        The manifest; every file that the release consists of is there and whole.

    Raises:
        Refused: `no_release`, `wrong_object`, or a code of `Trusted.take_repository` or
            `Trusted.take_release`.
    """
    repository = trusted.take_repository(letter, channel, now, floor)
    if not repository.offers:
        raise Refused("no_release", f"The {channel} channel lists no release yet.")
    newest = repository.offers[-1]
    manifest, _ = believe_manifest(newest, trusted, where, now, floor("release"))
    for name, listed in newest.files.items():
        if name != MANIFEST:
            check_object(where(listed.sha256), listed.sha256, listed.bytes)
    return manifest
