"""From a closed round's envelopes to new weights on disk; nothing here changes a row."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agent.errors import Refused
from agent.wire.adaptive import adam_step, state_shapes
from agent.wire.averaging import step
from agent.wire.documents import ObjectRef, Plan, Roster, RoundManifest
from agent.wire.envelope import Header, Unsealer, verify_header
from agent.wire.network import expected_shapes, round_shapes
from agent.wire.tensors import views
from agent.wire.update import Weights, check_tensors, decode, encode
from consortium.aggregate import Aggregate, aggregate
from consortium.folder import Folder
from consortium.objects import get_object, put_object
from consortium.tables import EnvelopeRow

Round = tuple[Plan, int]
"""A plan, and the number of one of its rounds."""


@dataclass(frozen=True, slots=True)
class AtRest:
    """A held envelope; its header is verified again, against the roster of today."""

    envelope_id: str
    header_bytes: bytes
    roster: Roster
    path: Path

    @property
    def header(self) -> Header:
        """The verified header.

        Raises:
            Refused: A code of `verify_header`, e.g. `revoked` since it came.
        """
        return verify_header(self.header_bytes, self.roster)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Opens the blob.

        Raises:
            Refused: `lost_blob`.
        """
        try:
            handle = self.path.open("rb")
        except OSError as error:
            raise Refused("lost_blob", "The aggregator lost this update's blob.") from error
        with handle:
            yield handle


@dataclass(frozen=True, slots=True)
class NewWeights:
    """A round's result, durable.

    Attributes:
        momentum_sha256: None where the recipe keeps no state.
        golden: Its golden molecules, where it becomes a release.
    """

    weights: ObjectRef
    momentum_sha256: str | None
    golden: ObjectRef | None = None


def sum_up(
    rows: Sequence[EnvelopeRow], trusted: Roster, blobs: Path, key: Unsealer, running: Round
) -> Aggregate:
    """Opens and averages a round's envelopes, in the silos' order."""
    plan, number = running
    shapes = round_shapes(plan.network, plan.features, plan.endpoints, number)
    envelopes = (
        AtRest(row.envelope_id, row.header, trusted, blobs / row.envelope_id) for row in rows
    )
    return aggregate(envelopes, key, shapes, plan.recipe)


def move(
    folder: Folder, plan: Plan, manifest: RoundManifest, delta: Weights, momentum: str | None
) -> NewWeights:
    """Moves a round's base by the mean delta and makes the result durable.

    Args:
        folder: Where weights and momenta are.
        plan: The plan.
        manifest: The round.
        delta: The mean delta; it is used up.
        momentum: Hash of the state of the plan's server optimizer so far, or None.

    Raises:
        Refused: `unknown_object` or `damaged_object`: the disk lost the base.
        OSError: The disk is full.
    """
    shapes = expected_shapes(plan.network, plan.features, plan.endpoints)
    base = views(get_object(folder.objects, manifest.base_sha256))
    check_tensors(base, shapes)
    adaptive = plan.recipe.optimizer == "adam"
    kept = state_shapes(shapes) if adaptive else shapes
    before = decode(get_object(folder.momenta, momentum), kept) if momentum else {}
    if adaptive:
        weights, state = adam_step(base, delta, before, plan.recipe)
    else:
        weights, state = step(base, delta, before, plan.recipe.server_momentum)
    if not adaptive and plan.recipe.server_momentum == 0:
        state = {}
    # A model's size each, and writing the new one takes three more.
    del base, before
    delta.clear()
    reference = put_object(folder.objects, encode(weights))
    if not state:
        return NewWeights(reference, None)
    return NewWeights(reference, put_object(folder.momenta, encode(state)).sha256)
