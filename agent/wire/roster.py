"""What a roster says of its silos: whose key is which, and whether a new key may follow it."""

from agent.errors import Refused
from agent.wire.documents import Member, Roster, RotationRequest
from agent.wire.signed import Signer, key_id, parse, sign, verify


def signing_fingerprints(roster: Roster) -> dict[str, str]:
    """Returns the key id of each silo's signing key, for a site that pins its peers.

    A silo that was revoked is not in it.
    """
    return {one.silo: key_id(one.sign_key) for one in roster.members if not one.revoked}


def member_of(roster: Roster, silo: str) -> Member | None:
    """Returns a silo's entry, or None."""
    return next((one for one in roster.members if one.silo == silo), None)


def key_of(member: Member, purpose: str) -> str:
    """Returns the public key that a silo uses for `sign`, `seal` or `courier`."""
    return {"sign": member.sign_key, "seal": member.seal_key, "courier": member.courier_key}[
        purpose
    ]


def signing_keys(member: Member) -> tuple[str, ...]:
    """Returns the keys that sign for a silo: the present one, and one that it retires."""
    retiring = member.retiring_sign_key
    return (member.sign_key,) if retiring is None else (member.sign_key, retiring)


def sign_rotation(request: RotationRequest, signer: Signer, new: Signer | None) -> bytes:
    """Signs a request for a new key.

    Args:
        request: What is asked for.
        signer: The silo's present signing key.
        new: The new key, if it is one that signs; a sealing key cannot.
    """
    return sign("rotation", request.to_bytes(), signer, *([] if new is None else [new]))


def verify_rotation(content: bytes, member: Member, consortium: str) -> RotationRequest:
    """Believes a silo's request for a new key.

    Args:
        content: The signed request.
        member: The silo's entry in the roster.
        consortium: This consortium.

    Raises:
        Refused: `revoked`, `wrong_consortium`, `wrong_silo`, `wrong_key` (the key that it
            replaces is not in use), `not_possessed` (the new key did not sign), or a code of
            `signed.verify`.
    """
    if member.revoked:
        raise Refused("revoked", f"Silo {member.silo} was revoked; its keys change no more.")
    payload = verify(content, "rotation", {key_id(member.sign_key): member.sign_key})
    request = RotationRequest.parse(payload)
    if request.consortium != consortium:
        raise Refused("wrong_consortium", f"This is for {request.consortium}, not {consortium}.")
    if request.silo != member.silo:
        raise Refused("wrong_silo", f"{member.silo} asks for a key of {request.silo}.")
    if request.old_key != key_of(member, request.purpose):
        raise Refused("wrong_key", "The key that this would replace is not the one in use.")
    if request.purpose != "seal":
        _check_possession(content, request)
    return request


def _check_possession(content: bytes, request: RotationRequest) -> None:
    # Else a silo could name another's key, and what that one signs would count as its own.
    own = key_id(request.new_key)
    if own not in {name for name, _ in parse(content).signatures}:
        raise Refused("not_possessed", "The new key has not signed the request for it.")
    verify(content, "rotation", {own: request.new_key})
