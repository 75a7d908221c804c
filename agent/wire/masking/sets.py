"""U1 and U2 as both ends read them: every signature and every condition, in one place.

The aggregator checks what it is about to send with the rules by which silos check what they are
sent, so a round that they would refuse ends before they are asked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.masking.documents import (
    Ack,
    AckSet,
    KeySet,
    RoundKeys,
    Upload,
    UploadSet,
    contained,
    in_order,
)
from agent.wire.masking.layout import Layout
from agent.wire.masking.seeds import Binding, check_public
from agent.wire.masking.setting import Setting
from agent.wire.masking.terms import threshold


@dataclass(frozen=True)
class Keys:
    """U1, checked.

    Attributes:
        setting: The round.
        sha256: K1.
        messages: The signed containers, by silo in name order.
        keys: What they say.
    """

    setting: Setting
    sha256: str
    messages: Mapping[str, bytes]
    keys: Mapping[str, RoundKeys]

    @property
    def threshold(self) -> int:
        """How many silos must go on at every later step."""
        return threshold(len(self.keys))

    @cached_property
    def points(self) -> dict[str, int]:
        """Where each silo's shares are taken."""
        return {silo: place for place, silo in enumerate(self.keys, 1)}

    @property
    def binding(self) -> Binding:
        """What the round's seeds are bound to."""
        manifest = self.setting.manifest
        return Binding(manifest.round_id, self.sha256, manifest.base_sha256)

    @cached_property
    def layout(self) -> Layout:
        """The vector's places: groups that fewer than n_min silos train are not in it."""
        trained: dict[str, int] = {}
        for one in self.keys.values():
            for group in set(one.groups):
                trained[group] = trained.get(group, 0) + 1
        least = self.setting.terms.rules.n_min
        return self.setting.layout({group for group, n in trained.items() if n >= least})


@dataclass(frozen=True)
class Uploads:
    """U2, checked.

    Attributes:
        sha256: What is acknowledged.
        messages: The signed containers, by silo in name order.
        uploads: What they say.
    """

    sha256: str
    messages: Mapping[str, bytes]
    uploads: Mapping[str, Upload]

    @cached_property
    def contributors(self) -> dict[str, frozenset[str]]:
        """Who contributes to each group; a group of zeros is left out."""
        found: dict[str, set[str]] = {}
        for silo, one in self.uploads.items():
            for group in one.groups:
                found.setdefault(group, set()).add(silo)
        return {group: frozenset(silos) for group, silos in sorted(found.items())}


def write_key_set(setting: Setting, messages: Mapping[str, bytes]) -> bytes:
    """Writes U1."""
    return KeySet(round_id=setting.manifest.round_id, keys=in_order(messages)).to_bytes()


def read_key_set(setting: Setting, content: bytes) -> Keys:
    """Believes U1: whoever is in it has signed its keys for this very round and manifest.

    Raises:
        Refused: `wrong_round`, `wrong_manifest`, `wrong_roster`, `bad_key`, `bad_set` (out of
            order, or a silo twice), `too_few_participants` (under the threshold of the
            participants or under the plan's n_min), or a code of `Setting.read`.
    """
    found = KeySet.parse(content)
    _check_round(setting, found.round_id)
    messages = contained(found.keys)
    keys = [setting.read(RoundKeys, message) for message in messages]
    for one in keys:
        check_keys(setting, one)
    by_silo = _in_name_order([one.silo for one in keys], messages)
    least = max(threshold(len(setting.manifest.participants)), setting.terms.rules.n_min)
    _check_size(len(keys), least)
    return Keys(setting, sha256_bytes(content), by_silo, {one.silo: one for one in keys})


def check_keys(setting: Setting, keys: RoundKeys) -> None:
    """Checks one silo's keys.

    Raises:
        Refused: `wrong_manifest`, `wrong_roster`, or `bad_key`.
    """
    if keys.manifest_sha256 != setting.manifest_sha256:
        raise Refused("wrong_manifest", f"Silo {keys.silo} was given another manifest, or model.")
    if keys.roster_sha256 != setting.roster_sha256:
        raise Refused("wrong_roster", f"Silo {keys.silo} goes by another roster.")
    check_public(keys.mask_key)
    check_public(keys.share_key)


def write_upload_set(keys: Keys, messages: Mapping[str, bytes]) -> bytes:
    """Writes U2."""
    return UploadSet(
        round_id=keys.setting.manifest.round_id,
        key_set_sha256=keys.sha256,
        uploads=in_order(messages),
    ).to_bytes()


def read_upload_set(keys: Keys, content: bytes) -> Uploads:
    """Believes U2: enough silos of U1, each with its own word, and everybody's conditions met.

    Raises:
        Refused: `wrong_round`, `wrong_key_set`, `bad_set`, `too_few_participants`,
            `peer_not_pinned`, `head_isolated`, `masks_differ`, a code of `check_upload` or of
            `Setting.read`.
    """
    found = UploadSet.parse(content)
    _check_round(keys.setting, found.round_id)
    if found.key_set_sha256 != keys.sha256:
        raise Refused("wrong_key_set", "The uploads were made under another set of keys.")
    messages = contained(found.uploads)
    uploads = [keys.setting.read(Upload, message) for message in messages]
    for one in uploads:
        check_upload(keys, one)
    by_silo = _in_name_order([one.silo for one in uploads], messages)
    result = Uploads(sha256_bytes(content), by_silo, {one.silo: one for one in uploads})
    check_conditions(keys, result)
    return result


def check_upload(keys: Keys, upload: Upload) -> None:
    """Checks what one silo says of its vector.

    Raises:
        Refused: `wrong_key_set`, `strange_participant` (not in U1), `wrong_length`,
            `wrong_groups`, or `wrong_commitments`.
    """
    silo = upload.silo
    if upload.key_set_sha256 != keys.sha256:
        raise Refused("wrong_key_set", f"Silo {silo} was given another set of keys.")
    if silo not in keys.keys:
        raise Refused("strange_participant", f"Silo {silo} is not in the set of keys.")
    if upload.words != keys.layout.words:
        raise Refused("wrong_length", f"The vector of {silo} has {upload.words} words.")
    allowed = set(keys.layout.groups) & set(keys.keys[silo].groups)
    if not set(upload.groups) <= allowed or len(set(upload.groups)) != len(upload.groups):
        raise Refused("wrong_groups", f"Silo {silo} contributes to groups that it did not name.")
    if set(upload.pair_sha256) != set(keys.keys) - {silo}:
        raise Refused("wrong_commitments", f"Silo {silo} did not commit to each of its masks.")


def check_conditions(keys: Keys, uploads: Uploads) -> None:
    """Checks that the sum hides everybody in it as well as each of them wants.

    A condition of one silo is checked by all, for its own refusal would not keep the others from
    unmasking it.

    Raises:
        Refused: `too_few_participants`, `peer_not_pinned`, `head_isolated`, or `masks_differ`.
    """
    least = keys.setting.terms.rules.n_min
    present = frozenset(uploads.uploads)
    _check_size(len(present), max(keys.threshold, least))
    for silo, one in uploads.uploads.items():
        _check_size(len(present), one.n_min)
        if _counted(one, present) < one.n_min:
            raise Refused("peer_not_pinned", f"Too few silos are left that {silo} counts.")
    for group, silos in uploads.contributors.items():
        wishes = [(uploads.uploads[silo].n_min, silo) for silo in silos]
        if len(silos) < least or any(
            _counted(uploads.uploads[silo], silos) < wish for wish, silo in wishes
        ):
            raise Refused("head_isolated", f"Too few silos contribute to {group}; it would show.")
    _check_pairs(uploads)


def read_ack_set(keys: Keys, uploads: Uploads, content: bytes) -> frozenset[str]:
    """Believes that enough silos acknowledged the very same U2; returns who did.

    Raises:
        Refused: `wrong_round`, `wrong_upload_set`, `strange_participant` (not in U2), `bad_set`,
            `too_few_acks`, or a code of `Setting.read`.
    """
    found = AckSet.parse(content)
    _check_round(keys.setting, found.round_id)
    messages = contained(found.acks)
    acks = [keys.setting.read(Ack, message) for message in messages]
    for one in acks:
        check_ack(uploads, one)
    silos = _in_name_order([one.silo for one in acks], messages)
    if len(silos) < keys.threshold:
        raise Refused(
            "too_few_acks", f"{len(silos)} silos acknowledged the uploads, of {keys.threshold}."
        )
    return frozenset(silos)


def check_ack(uploads: Uploads, ack: Ack) -> None:
    """Checks one silo's acknowledgement.

    Raises:
        Refused: `strange_participant`, or `wrong_upload_set`.
    """
    if ack.silo not in uploads.uploads:
        raise Refused("strange_participant", f"Silo {ack.silo} is not among the uploads.")
    if ack.upload_set_sha256 != uploads.sha256:
        raise Refused("wrong_upload_set", f"Silo {ack.silo} was shown another set of uploads.")


def write_ack_set(setting: Setting, messages: Mapping[str, bytes]) -> bytes:
    """Writes the acknowledgements."""
    return AckSet(round_id=setting.manifest.round_id, acks=in_order(messages)).to_bytes()


def _counted(upload: Upload, silos: frozenset[str]) -> int:
    return len(silos & {*upload.counts, upload.silo})


def _check_pairs(uploads: Uploads) -> None:
    # Both ends of a pair derive one seed; two commitments show that they were given different
    # keys or models, and the sum would be noise.
    for silo, one in uploads.uploads.items():
        for other, sha256 in one.pair_sha256.items():
            back = uploads.uploads.get(other)
            if back is not None and back.pair_sha256[silo] != sha256:
                raise Refused("masks_differ", f"The masks of {silo} and {other} do not cancel.")


def _check_round(setting: Setting, round_id: str) -> None:
    if round_id != setting.manifest.round_id:
        raise Refused("wrong_round", f"This belongs to round {round_id}.")


def _check_size(silos: int, least: int) -> None:
    if silos < least:
        raise Refused("too_few_participants", f"{silos} silos are left, and it takes {least}.")


def _in_name_order(silos: list[str], messages: Iterable[bytes]) -> dict[str, bytes]:
    if silos != sorted(set(silos)):
        raise Refused("bad_set", "The set is out of order, or has a silo twice.")
    return dict(zip(silos, messages, strict=True))
