"""What the offline keys sign: the repository's roots and its top targets, and new keys for either.

A new root is signed by the thresholds of the old one and of its own, so that a silo can walk from
the root that it pinned to the one in force.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

from sqlalchemy.orm import Session
from tuf.api.metadata import Delegations, Role, Root

from agent.errors import Refused, Stop
from agent.keys import Purpose, SigningIdentity, load_signing, new_signing
from agent.wire.documents import RoleKeys
from agent.wire.repository import CHANNELS, Channel
from agent.wire.signed import key_id
from consortium import metadata
from consortium.metadata import TOP_ROLES, Edition, role_of
from consortium.repository import (
    VALID_FOR,
    ReleaseRepository,
    announce,
    delegated,
    next_edition,
    put,
    put_file,
    root_in_force,
)

OFFLINE = ("root", "targets")
ROLES = (*TOP_ROLES, *CHANNELS)


@dataclass(frozen=True, slots=True)
class FirstFiles:
    """What the founding ceremony signed: the first root and the first targets."""

    root: bytes
    targets: bytes


def begin(offline: Path, keys: Path, officers: int, threshold: int, now: datetime) -> FirstFiles:
    """Makes every key of a new repository and signs what the offline ones sign.

    Args:
        offline: Where the keys of root and targets go, to be carried away.
        keys: Where those at hand go.
        officers: How many keys root and targets have each.
        threshold: How many of them must sign.
        now: The files hold from here.

    Raises:
        Stop: A key cannot be written.
    """
    made = {
        role: [_make(folder, role, number, count) for number in range(1, count + 1)]
        for role in ROLES
        for folder, count in [(offline, officers) if role in OFFLINE else (keys, 1)]
    }
    roles = {
        role: role_of(threshold if role in OFFLINE else 1, [key.public_hex for key in of_role])
        for role, of_role in made.items()
    }
    root = metadata.root(Edition(1, now + VALID_FOR["root"]), _top(roles))
    top = metadata.targets(Edition(1, now + VALID_FOR["targets"]), _channels(roles))
    return FirstFiles(metadata.sign(root, made["root"]), metadata.sign(top, made["targets"]))


def open_channels(
    session: Session, repository: ReleaseRepository, first: FirstFiles, now: datetime
) -> None:
    """Puts a new repository in force: empty channels, a snapshot, a timestamp, the feed's item.

    Raises:
        Stop: A key is missing.
    """
    put_file(session, "root", first.root)
    put_file(session, "targets", first.targets)
    for name in CHANNELS:
        repository.relist(session, name, {}, now)
    repository.seal(session, now)
    announce(session, "stable")


def rotate(
    session: Session,
    repository: ReleaseRepository,
    role: str,
    fresh: Sequence[SigningIdentity],
    at_hand: Sequence[SigningIdentity],
    now: datetime,
) -> None:
    """Puts other keys of a role in force; none given renews root or targets with the same.

    Args:
        session: The writing transaction.
        repository: The keys at hand are already on disk.
        role: One of `ROLES`.
        fresh: The role's new keys; as many of them must sign as before.
        at_hand: The keys of the ceremony: of the old root's threshold (for the four top roles), of
            the targets' (for `targets`, `canary`, `stable`).
        now: The files hold from here.

    Raises:
        Refused: `too_few_keys`: the ceremony lacks keys.
        Stop: A key that is to be at hand is missing.
    """
    if role == "root" or (role in TOP_ROLES and fresh):
        _sign_root(session, role, fresh, at_hand, now)
    if role in ("targets", *CHANNELS):
        _sign_targets(session, role, fresh, [*at_hand, *fresh], now)
    for name in CHANNELS:
        if name == role:
            repository.relist(session, name, repository.files(session, name), now)
    repository.seal(session, now)
    for name in reversed(CHANNELS):
        announce(session, name)


def new_keys(folder: Path, role: str, count: int) -> dict[Path, SigningIdentity]:
    """Makes further keys of a role, on disk under the next free numbers.

    Raises:
        Stop: A key cannot be written.
    """
    taken = len(list(folder.glob(f"tuf-{role}*.key")))
    paths = [folder / f"tuf-{role}-{taken + one}.key" for one in range(1, count + 1)]
    return {path: _save(path, role) for path in paths}


def load_any(path: Path) -> SigningIdentity:
    """Reads a key of the ceremony, of root or of targets.

    Raises:
        Stop: It is neither, or cannot be read.
    """
    try:
        return load_signing(path, "tuf-root")
    except Stop:
        return load_signing(path, "tuf-targets")


def _make(folder: Path, role: str, number: int, count: int) -> SigningIdentity:
    name = f"tuf-{role}-{number}.key" if count > 1 or role in OFFLINE else f"tuf-{role}.key"
    return _save(folder / name, role)


def _save(path: Path, role: str) -> SigningIdentity:
    key = new_signing(cast("Purpose", f"tuf-{role}"))
    key.save(path)
    return key


def _sign_root(
    session: Session,
    role: str,
    fresh: Sequence[SigningIdentity],
    at_hand: Sequence[SigningIdentity],
    now: datetime,
) -> None:
    before = root_in_force(session)
    roles = {name: _keys(before, before.roles[name]) for name in TOP_ROLES}
    if fresh:
        roles[role] = _replaced(roles[role], fresh)
    after = metadata.root(next_edition(session, "root", now), roles)
    known = [*at_hand, *fresh] if role == "root" else list(at_hand)
    signers = _enough("root", _keys(before, before.roles["root"]), known)
    signers |= _enough("root", roles["root"], known)
    put(session, after, "root", signers.values())


def _sign_targets(
    session: Session,
    role: str,
    fresh: Sequence[SigningIdentity],
    known: Sequence[SigningIdentity],
    now: datetime,
) -> None:
    holder, roles = delegated(session)
    channels: dict[Channel, RoleKeys] = {name: _keys(holder, roles[name]) for name in CHANNELS}
    for name in CHANNELS:
        if name == role and fresh:
            channels[name] = _replaced(channels[name], fresh)
    root = root_in_force(session)  # the new one, where the targets' own keys were rotated
    signers = _enough("targets", _keys(root, root.roles["targets"]), known)
    after = metadata.targets(next_edition(session, "targets", now), channels)
    put(session, after, "targets", signers.values())


def _keys(holder: Root | Delegations, role: Role) -> RoleKeys:
    return role_of(role.threshold, [holder.keys[one].keyval["public"] for one in role.keyids])


def _replaced(before: RoleKeys, fresh: Sequence[SigningIdentity]) -> RoleKeys:
    if len(fresh) < before.threshold:
        raise Refused("too_few_keys", f"The role needs {before.threshold} new keys at least.")
    return role_of(before.threshold, [key.public_hex for key in fresh])


def _enough(
    name: str, role: RoleKeys, known: Sequence[SigningIdentity]
) -> dict[str, SigningIdentity]:
    usable = {key_id(key.public_hex): key for key in known if key_id(key.public_hex) in role.keys}
    if len(usable) < role.threshold:
        raise Refused(
            "too_few_keys",
            f"{role.threshold} keys of {name} must sign, and {len(usable)} are here; name them "
            "with --key.",
        )
    return usable


def _top(roles: Mapping[str, RoleKeys]) -> dict[str, RoleKeys]:
    return {name: roles[name] for name in TOP_ROLES}


def _channels(roles: Mapping[str, RoleKeys]) -> dict[Channel, RoleKeys]:
    return {name: roles[name] for name in CHANNELS}
