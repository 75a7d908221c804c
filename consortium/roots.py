"""Trust roots: the chain that was published, and the next one that hands over to other keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent.clock import to_text
from agent.errors import Refused, Stop
from agent.keys import load_signing, new_signing, next_key, promote
from agent.wire.documents import RoleKeys, TrustRoot
from agent.wire.signed import key_id, parse
from consortium.folder import Folder
from consortium.tables import PublishedRow

OFFLINE_ROLES = ("root", "roster", "plan")
MAX_OFFICERS = 9  # a container takes 16 signatures, and a new root bears those of two councils
VALID_FOR = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Handover:
    """What the next root changes; what is left out stays.

    Attributes:
        add: Public keys of new officers (hexadecimal).
        remove: Key ids, or their beginnings, of officers who leave.
        threshold: How many officers must sign from then on.
        aggregator: The public half of a new online key, or empty.
    """

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    threshold: int | None = None
    aggregator: str = ""


def role_keys(threshold: int, public: Sequence[str]) -> RoleKeys:
    """Returns a role of some public keys.

    Raises:
        Refused: `malformed`: the threshold is not a positive number, or a key is none.
    """
    keys = {key_id(_checked(one)): one for one in public}
    return RoleKeys(threshold=threshold, keys=keys)


def first_root(folder: Folder) -> bytes:
    """Returns the signed root that the consortium was founded with.

    Raises:
        Stop: Its file is missing.
    """
    try:
        return folder.trust_root.read_bytes()
    except OSError as error:
        raise Stop(f"Cannot read {folder.trust_root}; restore it from backup.") from error


def published_roots(session: Session, folder: Folder) -> list[bytes]:
    """Returns every signed root, the first one first.

    Raises:
        Stop: The first one's file is missing.
    """
    later = session.scalars(
        select(PublishedRow.document)
        .where(PublishedRow.kind == "root")
        .order_by(PublishedRow.number)
    )
    return [first_root(folder), *later]


def root_in_force(session: Session, folder: Folder) -> TrustRoot:
    """Returns the newest root; this aggregator checked it before it published it."""
    return TrustRoot.parse(parse(published_roots(session, folder)[-1]).payload)


def newest_root(session: Session) -> int:
    """Returns the place of the root in force among what was published; 0 for the first one."""
    number = select(func.max(PublishedRow.number)).where(PublishedRow.kind == "root")
    return session.scalar(number) or 0


def next_root(current: TrustRoot, handover: Handover, now: datetime) -> TrustRoot:
    """Returns the root that comes after the present one, not signed yet.

    Raises:
        Refused: `unknown_officer`, `already_officer`, `bad_threshold`, or `malformed`.
    """
    held = dict(current.roles["root"].keys)
    for beginning in handover.remove:
        del held[_named(held, beginning)]
    for public in handover.add:
        if key_id(_checked(public)) in held:
            raise Refused("already_officer", f"The key {public[:16]} is an officer's already.")
        held[key_id(public)] = public
    threshold = handover.threshold or current.roles["root"].threshold
    if not 1 <= threshold <= len(held) <= MAX_OFFICERS:
        raise Refused(
            "bad_threshold",
            f"{threshold} of {len(held)} officers cannot be; at most {MAX_OFFICERS}, and a "
            "threshold between 1 and their number.",
        )
    offline = RoleKeys(threshold=threshold, keys=held)
    roles = {**current.roles, **dict.fromkeys(OFFLINE_ROLES, offline)}
    if handover.aggregator:
        roles["aggregator"] = role_keys(1, [handover.aggregator])
    return current.model_copy(
        update={
            "version": current.version + 1,
            "roles": roles,
            "expires": to_text(now + VALID_FOR),
        }
    )


def prepare_aggregator_key(folder: Folder, now: datetime) -> str:
    """Makes the online key that shall follow the present one, and returns its public half.

    Raises:
        Stop: It cannot be written or read.
    """
    path = next_key(folder.aggregator_key)
    if not path.exists():
        new_signing("aggregator", now).save(path, like=folder.aggregator_key)
    return load_signing(path, "aggregator").public_hex


def settle_keys(folder: Folder, root: TrustRoot) -> None:
    """Puts the next online key in place once the root in force names it.

    Done by the command that publishes a root, and by `serve` when it starts and when it sees one:
    a kill of either may come between the publication and this.

    Raises:
        Stop: The next key is damaged, or open to others.
        OSError: The folder cannot be written.
    """
    path = next_key(folder.aggregator_key)
    if not path.exists():
        return
    try:
        public = load_signing(path, "aggregator").public_hex
        if key_id(public) in root.roles["aggregator"].keys:
            promote(folder.aggregator_key, keep=False)
    except (Stop, FileNotFoundError):
        if path.exists():  # else the other process was first
            raise


def _named(held: dict[str, str], beginning: str) -> str:
    found = [name for name in held if beginning and name.startswith(beginning)]
    if len(found) != 1:
        raise Refused(
            "unknown_officer",
            f"{len(found)} officers' key ids begin with {beginning!r}; see "
            "`onggi-aggregator root show`.",
        )
    return found[0]


def _checked(public: str) -> str:
    try:
        if len(bytes.fromhex(public)) == 32 and public == public.lower():
            return public
    except ValueError:
        pass
    raise Refused("malformed", "A public key is 64 lower-case hexadecimal digits.")
