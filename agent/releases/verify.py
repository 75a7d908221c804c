"""A release's weights against its manifest and its plan; pure, the signature was checked before."""

from agent.errors import Refused
from agent.wire.documents import Plan, ReleaseManifest
from agent.wire.network import check_magnitudes, expected_shapes
from agent.wire.update import Weights, decode


def check_weights(content: bytes, manifest: ReleaseManifest, plan: Plan) -> Weights:
    """Reads weights that fit what the manifest promises and what the plan's network needs.

    Args:
        content: The safetensors file as it arrived; its hash was checked while it was read
            (`boxes.read_object`), and is not computed again.
        manifest: Believed by `Trusted.take_release`.
        plan: The trusted plan that the manifest names.

    Returns:
        Every tensor of the trunk and of the manifest's heads, float32, finite and of a sane size.

    Raises:
        Refused: `wrong_size`, `wrong_heads`, `bad_tensors`, `wrong_tensors`, `not_finite` or
            `absurd_weights`, or a code of `expected_shapes`.
    """
    if len(content) != manifest.weights_bytes:
        raise Refused(
            "wrong_size",
            f"The weights have {len(content)} bytes; the manifest says {manifest.weights_bytes}.",
        )
    if strange := sorted(set(manifest.heads) - set(plan.endpoints)):
        raise Refused("wrong_heads", f"The release has a head {strange[0]!r} that no plan names.")
    weights = decode(content, expected_shapes(plan.network, plan.features, manifest.heads))
    check_magnitudes(weights)
    return weights
