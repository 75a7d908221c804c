"""What waits for the officers: a file of documents that they read, sign one by one, and publish.

The file can be carried to a machine that knows nothing of the aggregator: it brings the root in
force and what the documents replace, both signed, so that whoever signs sees what would change.
It is itself not signed, and nothing in it is believed but what the officers' keys have signed.
"""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from agent.errors import Refused, Stop
from agent.files import sha256_bytes, write_atomic
from agent.wire.documents import Document, RoleKeys, Roster, TrustRoot
from agent.wire.signed import Signer, countersign, key_id, parse, payload_type, verify
from agent.wire.trusted import Trusted

Kind = Literal["root", "roster", "catalogue", "plan"]
KINDS: tuple[Kind, ...] = ("root", "roster", "catalogue", "plan")
_ROLE: dict[Kind, str] = {"root": "root", "roster": "roster", "catalogue": "plan", "plan": "plan"}


class Proposal(Document):
    """Documents that wait for signatures.

    Attributes:
        root: The signed root in force, in base64.
        base: The signed roster in force, in base64, or empty: what a new roster is compared with.
        documents: What is proposed, each a signed container in base64; a new root comes first.
    """

    kind: Literal["proposal"] = "proposal"
    root: str
    base: str = ""
    documents: tuple[str, ...]


def propose(root: bytes, documents: Sequence[bytes], base: bytes = b"") -> Proposal:
    """Puts documents together that wait for signatures."""
    return Proposal(root=_b64(root), base=_b64(base), documents=tuple(map(_b64, documents)))


def write_proposal(path: Path, proposal: Proposal) -> None:
    """Writes a proposal to a file.

    Raises:
        OSError: The disk is full or the folder is not writable.
    """
    write_atomic(path, proposal.to_bytes())


def read_proposal(path: Path) -> Proposal:
    """Reads a proposal from a file.

    Raises:
        Stop: It cannot be read, or is no proposal.
    """
    try:
        return Proposal.parse(path.read_bytes())
    except OSError as error:
        raise Stop(f"Cannot read {path}; name a file that `--out` wrote.") from error
    except Refused as error:
        raise Stop(f"{path} is no proposal: {error.reason}") from error


def contents(proposal: Proposal) -> list[bytes]:
    """Returns the proposed containers.

    Raises:
        Refused: `malformed`.
    """
    return [unb64(one) for one in proposal.documents]


def kind_of(content: bytes) -> Kind:
    """Returns what a container says that it is.

    Raises:
        Refused: `wrong_type`: officers do not sign such a thing.
    """
    name = parse(content).payload_type
    for kind in KINDS:
        if name == payload_type(kind):
            return kind
    raise Refused("wrong_type", f"Officers sign no {name!r}.")


def sign_proposal(proposal: Proposal, officer: Signer) -> Proposal:
    """Adds an officer's signature to every document that it may sign.

    Raises:
        Refused: `not_officer`: it may sign none of them.
    """
    allowed = [_may_sign(proposal, content, officer) for content in contents(proposal)]
    if not any(allowed):
        raise Refused(
            "not_officer",
            "This key may sign nothing in the file; take an officer's key that the trust root "
            "names.",
        )
    signed = [
        countersign(content, officer) if may else content
        for content, may in zip(contents(proposal), allowed, strict=True)
    ]
    return proposal.model_copy(update={"documents": tuple(map(_b64, signed))})


def missing(proposal: Proposal) -> list[str]:
    """Says for each document that lacks signatures how many it has and needs."""
    lines = []
    for content in contents(proposal):
        for role in _roles(proposal, content):
            signers = {name for name, _ in parse(content).signatures}.intersection(role.keys)
            if len(signers) < role.threshold:
                lines.append(
                    f"The {kind_of(content)} has {len(signers)} of {role.threshold} signatures."
                )
    return lines


def take(trusted: Trusted, content: bytes, now: datetime) -> Kind:
    """Checks a document by the very rules of the silos.

    Args:
        trusted: What the aggregator has published so far; it takes the document in.
        content: The signed container.
        now: The time.

    Raises:
        Refused: A code of `Trusted`, e.g. `too_few_signatures`.
    """
    kind = kind_of(content)
    match kind:
        case "root":
            trusted.take_root(content)
        case "roster":
            trusted.take_roster(content, now)
        case "catalogue":
            trusted.take_catalogue(content)
        case _:
            trusted.take_plan(content, now)
    return kind


def base_roster(proposal: Proposal) -> Roster | None:
    """Returns the roster that a proposal starts from, if officers have signed it; else None."""
    if not proposal.base:
        return None
    role = root_of(proposal).roles["roster"]
    content = unb64(proposal.base)
    return Roster.parse(verify(content, "roster", role.keys, role.threshold))


def root_of(proposal: Proposal) -> TrustRoot:
    """Returns the root in force as the file tells it; only its hash says whether it is the one."""
    return TrustRoot.parse(parse(unb64(proposal.root)).payload)


def root_hash(proposal: Proposal) -> str:
    """Returns SHA-256 of the payload of the root that the file names."""
    return sha256_bytes(parse(unb64(proposal.root)).payload)


def unb64(text: str) -> bytes:
    """Decodes base64.

    Raises:
        Refused: `malformed`.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("malformed", "A part of the file is no base64.") from error


def _roles(proposal: Proposal, content: bytes) -> list[RoleKeys]:
    # A new root needs the old officers and the new ones; what comes with it, the new ones.
    present = root_of(proposal)
    new = [one for one in contents(proposal) if kind_of(one) == "root"]
    coming = TrustRoot.parse(parse(new[0]).payload) if new else present
    kind = kind_of(content)
    roots = [present, coming] if kind == "root" else [coming]
    return [root.roles[_ROLE[kind]] for root in roots]


def _may_sign(proposal: Proposal, content: bytes, officer: Signer) -> bool:
    own = key_id(officer.public_hex)
    return any(own in role.keys for role in _roles(proposal, content))


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
