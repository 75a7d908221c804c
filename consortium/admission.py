"""Which envelopes a round takes: pure rules, in one order, each refusal with its own code."""

from datetime import datetime

from agent.clock import from_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.documents import PaidNoise, PaidShare, Plan, RoundManifest, UpdateCore
from agent.wire.envelope import Header, blob_length
from agent.wire.masking.carriage import upload_overhead
from agent.wire.network import round_shapes
from agent.wire.signed import key_id

_TENSOR_OVERHEAD = 256  # safetensors' JSON entry for one tensor, generously
_FILE_OVERHEAD = 4096


def admit(
    header: Header, sender: str, consortium: str, plan: Plan, manifest: RoundManifest, now: datetime
) -> None:
    """Lets a verified header into a collecting round.

    Args:
        header: Its signature was checked against the roster.
        sender: The silo whose courier brought it.
        consortium: This consortium.
        plan: The round's plan.
        manifest: The round's manifest.
        now: The time.

    Raises:
        Refused: `wrong_consortium`, `wrong_silo`, `wrong_plan`, `wrong_attempt`,
            `not_participant`, `expired`, `wrong_base`, `wrong_features`, `wrong_reference`,
            `wrong_recipient`, `wrong_privacy`, `wrong_profile`, or `too_large`.
    """
    core = header.core
    check_address(core, sender, consortium)
    _check_round(core, manifest, now)
    _check_plan(core, plan)
    if header.profile != plan.seal_profile:
        raise Refused("wrong_profile", f"The plan seals by the {plan.seal_profile} profile.")
    limit = longest_blob(plan)
    if header.blob_bytes > limit:
        raise Refused("too_large", f"The blob may have {limit} bytes for this plan's network.")


def check_address(core: UpdateCore, sender: str, consortium: str) -> None:
    """Checks for whom and by whom an update is, before any round is looked up.

    Raises:
        Refused: `wrong_consortium` or `wrong_silo`.
    """
    if core.consortium != consortium:
        raise Refused("wrong_consortium", f"This update is for {core.consortium}.")
    if core.silo != sender:
        raise Refused("wrong_silo", f"The courier of {sender} brought an update of {core.silo}.")


def longest_blob(plan: Plan) -> int:
    """Returns how long a blob with an update of all that a round trains can be, in bytes."""
    # The last member's names are the longest.
    last = plan.network.members
    shapes = round_shapes(plan.network, plan.features, plan.endpoints, last)
    total = _FILE_OVERHEAD
    for shape in shapes.values():
        size = 1
        for length in shape:
            size *= length
        # Each tensor may come with a weight of its own: one more entry and one more number.
        total += 4 * (size + 1) + 2 * _TENSOR_OVERHEAD
    if plan.privacy.masking is not None:
        total += upload_overhead(len(plan.participants))
    return blob_length(total)


def _check_round(core: UpdateCore, manifest: RoundManifest, now: datetime) -> None:
    if core.plan_id != manifest.plan_id:
        raise Refused("wrong_plan", f"Round {manifest.round_id} is of plan {manifest.plan_id}.")
    if core.attempt != manifest.attempt:
        raise Refused("wrong_attempt", f"Round {manifest.round_id} is attempt {manifest.attempt}.")
    if core.silo not in manifest.participants:
        raise Refused("not_participant", f"{core.silo} takes no part in {manifest.round_id}.")
    if from_text(core.expires) <= now:
        raise Refused("expired", f"The update expired at {core.expires}.")
    if core.base_sha256 != manifest.base_sha256:
        raise Refused("wrong_base", "The update was trained from weights other than the round's.")
    if core.recipient != key_id(manifest.seal_key):
        raise Refused("wrong_recipient", "The update was sealed for a key other than the round's.")


def _check_plan(core: UpdateCore, plan: Plan) -> None:
    if core.feature_sha256 != sha256_bytes(plan.features.to_bytes()):
        raise Refused("wrong_features", "The update was made with another feature specification.")
    if core.reference_sha256 != plan.reference_sha256:
        raise Refused(
            "wrong_reference",
            "This silo's software computes other features for the reference set; install the "
            "RDKit build that the consortium uses.",
        )
    said = core.privacy
    if (said.asked() if isinstance(said, PaidNoise | PaidShare) else said) != plan.privacy:
        raise Refused("wrong_privacy", "The update was protected otherwise than the plan asks.")
