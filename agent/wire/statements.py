"""Small signed documents that a silo sends of its own accord, and the leaves of its egress log.

A statement travels as an envelope without a blob: its signed container stands where an envelope's
header stands, its id is the SHA-256 of that container, and the answer is the same signed receipt
or refusal.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire import merkle
from agent.wire.document import Count, Document, Moment, Name, Sha256
from agent.wire.signed import key_id, parse, payload_type, verify

MAX_STATEMENT_BYTES = 32 << 10

Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
# Who decided: "policy", or the name that a person gave.
By = Annotated[str, Field(max_length=200)]
Decision = Literal["released", "held", "approved", "refused", "kept"]
# What stands at the end of a decision to let something out.
LEAVES: frozenset[str] = frozenset({"released", "approved"})


class Declined(Document):
    """A silo's word that it takes no part in a plan, or in one round of it.

    Attributes:
        round_id: Empty where the whole plan is declined.
        codes: Why; empty where the silo's policy tells no more than that it declines.
    """

    kind: Literal["declined"] = "declined"
    consortium: Name
    silo: Name
    plan_id: Name
    plan_sha256: Sha256
    round_id: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9._-]{0,62})?$")] = ""
    codes: tuple[Code, ...]
    created: Moment


class EgressRoot(Document):
    """A day's root of a silo's egress log, and the proof that it goes on from the one before.

    Attributes:
        size: How many leaves the tree has.
        after_size, after_root: The last root that the aggregator countersigned; 0 and the empty
            tree's root before the first.
        consistency: RFC 6962's proof from that tree to this one.
    """

    kind: Literal["egress_root"] = "egress_root"
    consortium: Name
    silo: Name
    size: Count
    root: Sha256
    after_size: Annotated[int, Field(ge=0, le=2**31 - 1)]
    after_root: Sha256
    consistency: Annotated[tuple[Sha256, ...], Field(max_length=64)]
    created: Moment

    def follows(self) -> bool:
        """Tells whether the proof leads from the earlier tree to this one."""
        path = [bytes.fromhex(step) for step in self.consistency]
        old, new = bytes.fromhex(self.after_root), bytes.fromhex(self.root)
        return merkle.is_consistent(self.after_size, self.size, old, new, path)


Statement = Declined | EgressRoot
_KINDS: tuple[type[Declined] | type[EgressRoot], ...] = (Declined, EgressRoot)


class Leaf(Document):
    """One decision about something that was to leave.

    Attributes:
        envelope_id: SHA-256 of `header`.
        kind: `update`, or the kind of a statement.
        about: The round, the plan or the day.
        decision: `released` by the policy; `held` until a person decides; then `approved` or
            `refused`. `kept` was made and signed, and the policy keeps it at home.
        by: Who decided: `policy`, or a person's name.
        bytes: How many may leave by this decision, header and blob; 0 where none may.
        blob_sha256: Of the blob; of no bytes for a statement.
        header: The signed header in base64; empty for a file that a person carries, and in lines
            from before there was a tree.
    """

    at: Moment
    envelope_id: Sha256
    kind: Code
    to: Name
    about: str
    decision: Decision
    by: By
    bytes: Annotated[int, Field(ge=0)]
    blob_sha256: Sha256
    header: str


class Proof(Document):
    """That a silo's signed root has a leaf; complete in itself.

    Attributes:
        leaf: The leaf's bytes in base64.
        index: Its place, from 0.
        path: RFC 6962's audit path, from the bottom up.
        root: The signed `EgressRoot` in base64.
        receipt: The aggregator's signed receipt for that root in base64, or empty.
    """

    kind: Literal["egress_proof"] = "egress_proof"
    leaf: str
    index: Annotated[int, Field(ge=0, le=2**31 - 1)]
    path: Annotated[tuple[Sha256, ...], Field(max_length=64)]
    root: str
    receipt: str = ""


def header_of(leaf: Leaf) -> bytes:
    """Returns the signed header that a leaf holds.

    Raises:
        Refused: `wrong_leaf`: it is not the one that the leaf names.
    """
    try:
        content = base64.b64decode(leaf.header, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("wrong_leaf", "The leaf's header is not valid base64.") from error
    if sha256_bytes(content) != leaf.envelope_id:
        raise Refused("wrong_leaf", "The leaf names another header than it holds.")
    return content


def is_statement(content: bytes) -> bool:
    """Tells whether what stands in a header's place is a statement: a container is JSON."""
    return content.startswith(b"{")


def verify_statement(content: bytes, *keys: str) -> Statement:
    """Checks a statement's signature by one of its silo's keys, then reads it.

    Raises:
        Refused: `too_large`, `unknown_statement`, `malformed`, or a code of `signed.verify`.
    """
    if len(content) > MAX_STATEMENT_BYTES:
        raise Refused("too_large", f"A statement has at most {MAX_STATEMENT_BYTES} bytes.")
    named = parse(content).payload_type
    for model in _KINDS:
        kind = str(model.model_fields["kind"].default)
        if named == payload_type(kind):
            return model.parse(verify(content, kind, {key_id(one): one for one in keys}))
    raise Refused("unknown_statement", "This reader knows no statement of that kind.")


def verify_proof(proof: Proof, *keys: str) -> tuple[Leaf, EgressRoot]:
    """Checks that a root which the silo signed has the leaf.

    Args:
        proof: As `onggi egress prove` wrote it.
        keys: The silo's public signing keys: the present one, and one that it retires.

    Raises:
        Refused: `wrong_root` (it is no root of an egress log), `wrong_leaf`, `not_included`, or a
            code of `verify_statement`.
    """
    statement = verify_statement(_unb64(proof.root), *keys)
    if not isinstance(statement, EgressRoot):
        raise Refused("wrong_root", "The proof names a statement that is no root of a log.")
    content = _unb64(proof.leaf)
    path = [bytes.fromhex(step) for step in proof.path]
    hashed, root = merkle.leaf_hash(content), bytes.fromhex(statement.root)
    if not merkle.is_included(hashed, proof.index, statement.size, path, root):
        raise Refused("not_included", "The signed root has no such leaf at this place.")
    leaf = Leaf.parse(content)
    if leaf.header:
        header_of(leaf)
    return leaf, statement


def receipt_of(proof: Proof) -> tuple[bytes, str]:
    """Returns the receipt that a proof holds, and the id which it must be about.

    Raises:
        Refused: `bad_proof`.
    """
    return _unb64(proof.receipt), sha256_bytes(_unb64(proof.root))


def prove(contents: Sequence[bytes], index: int, root: bytes, receipt: bytes = b"") -> Proof:
    """Makes a proof for the leaf at `index` of the tree that a signed root covers.

    Args:
        contents: The leaves of that very tree.
        index: Which of them.
        root: The signed root.
        receipt: The aggregator's receipt for it, if it came.
    """
    path = merkle.inclusion_proof([merkle.leaf_hash(one) for one in contents], index)
    return Proof(
        leaf=_b64(contents[index]),
        index=index,
        path=tuple(step.hex() for step in path),
        root=_b64(root),
        receipt=_b64(receipt),
    )


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("bad_proof", "A field of the proof is not valid base64.") from error
