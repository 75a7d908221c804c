"""The weights that a plan starts from: fresh ones, or such as an earlier plan came to.

A plan with noise should start from what public data taught: the noise is the same, and what is left
to learn is less (docs/privacy.md, section 5). The officers sign the weights' hash in the plan, so
that the online key cannot put others in their place.
"""

from pathlib import Path

from agent.errors import Refused, Stop
from agent.wire.documents import ObjectRef, Plan
from agent.wire.network import (
    HEAD,
    check_magnitudes,
    check_weights,
    initial_weights,
)
from agent.wire.update import Weights, decode_some, encode
from consortium.objects import get_object, put_object


def first_weights(plan: Plan, objects: Path) -> ObjectRef:
    """Returns the weights of a plan's first round, durable.

    Raises:
        Refused: `unknown_object` or `damaged_object`: those that the plan names are lost.
        OSError: The disk is full.
    """
    if plan.start_sha256 is None:
        return put_object(objects, encode(_fresh(plan)))
    content = get_object(objects, plan.start_sha256)
    return ObjectRef(sha256=plan.start_sha256, bytes=len(content))


def starting_from(plan: Plan, content: bytes, objects: Path) -> Plan:
    """Returns the plan with a start of given weights, which are laid down durably.

    Args:
        plan: Complete, before it is signed.
        content: Safetensors, such as the weights of a release: the trunk of the plan's network, and
            heads. One that the plan has no endpoint for is left out; one that is missing starts
            fresh.
        objects: Where the weights go.

    Raises:
        Refused: `bad_tensors`, `wrong_tensors` (another network than the plan's, or no trunk),
            `not_finite`, or `absurd_weights`.
        OSError: The disk is full.
    """
    given = decode_some(content)
    fresh = _fresh(plan)
    weights = {name: given[name] if name in given else fresh[name] for name in fresh}
    if lacking := [name for name in fresh if name not in given and HEAD not in name]:
        raise Refused("wrong_tensors", f"The weights lack {lacking[0]!r} of the plan's network.")
    check_weights(weights, plan.network, plan.features, plan.endpoints)
    check_magnitudes(weights)
    start = put_object(objects, encode(weights))
    return plan.model_copy(update={"start_sha256": start.sha256})


def read_start(path: Path) -> bytes:
    """Reads a file of weights.

    Raises:
        Stop: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise Stop(f"Cannot read {path}; name a release's weights (safetensors).") from error


def _fresh(plan: Plan) -> Weights:
    return initial_weights(plan.network, plan.features, plan.endpoints)
