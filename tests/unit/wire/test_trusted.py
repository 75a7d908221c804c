"""Every rule of trust: what is taken, and each refusal by name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import from_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keys import SigningIdentity, new_signing
from agent.wire.documents import (
    Catalogue,
    Document,
    Endpoint,
    FeatureSpec,
    MaskRules,
    NetworkSpec,
    ObjectRef,
    Plan,
    Privacy,
    Receipt,
    Refusal,
    ReleaseManifest,
    RoleKeys,
    Roster,
    RoundManifest,
    TrustRoot,
)
from agent.wire.repository import GOLDEN, MANIFEST, WEIGHTS, Offer
from agent.wire.signed import key_id, sign
from agent.wire.trusted import Trusted
from tests.kit.recipes import recipe
from tests.kit.releases import Releases

_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_PAST, _AHEAD = "2026-05-01T00:00:00Z", "2026-07-01T00:00:00Z"
_ROLES = ("root", "roster", "plan", "aggregator")
_KEYS = {role: new_signing("root") for role in _ROLES}
_ZERO = "00" * 32


def _role(key: SigningIdentity) -> RoleKeys:
    return RoleKeys(threshold=1, keys={key_id(key.public_hex): key.public_hex})


_ROOT = TrustRoot(
    consortium="c",
    version=1,
    roles={role: _role(key) for role, key in _KEYS.items()},
    expires=_AHEAD,
)
_CATALOGUE = Catalogue(
    consortium="c",
    version=2,
    endpoints=(Endpoint(id="logd", name="logD", group="P", kind="regression"),),
)
_ROSTER = Roster(consortium="c", version=2, issued=_PAST, expires=_AHEAD, members=())
_PLAN = Plan(
    consortium="c",
    plan_id="p",
    version=2,
    catalogue_sha256=sha256_bytes(_CATALOGUE.to_bytes()),
    endpoints=("logd",),
    features=FeatureSpec(version="onggi-fast-1", radius=2, hash_size=256, descriptors=(), clip=5.0),
    reference_sha256=_ZERO,
    network=NetworkSpec(hidden=(8,), dropout=0.0, seed=1),
    recipe=recipe(rounds=1, learning_rate=0.1, weighting="uniform"),
    privacy=Privacy(),
    participants=("silo-a",),
    quorum=1,
    round_deadline_s=60.0,
    fold_key=_ZERO,
    not_before=_PAST,
    expires=_AHEAD,
)
_PLAN_SHA = sha256_bytes(_PLAN.to_bytes())
_ROUND = RoundManifest(
    consortium="c",
    round_id="r-1",
    plan_id="p",
    plan_sha256=_PLAN_SHA,
    number=1,
    attempt=1,
    base_sha256=_ZERO,
    base_bytes=1,
    seal_key=_ZERO,
    participants=("silo-a",),
    opens=_PAST,
    deadline=_AHEAD,
)
_RELEASE = ReleaseManifest(
    consortium="c",
    release_id="rel-2",
    version=2,
    plan_id="p",
    plan_sha256=_PLAN_SHA,
    round_id="r-1",
    weights_sha256=_ZERO,
    weights_bytes=1,
    heads=("logd",),
    contributors=1,
    created=_PAST,
    expires=_AHEAD,
)
_RECEIPT = Receipt(
    consortium="c", silo="silo-a", envelope_id=_ZERO, round_id="r-1", log_index=1, received=_PAST
)
_REFUSAL = Refusal(
    consortium="c", silo="silo-a", envelope_id=_ZERO, code="x", reason="y", refused=_PAST
)


def _signed(kind: str, document: Document, role: str, **changes: object) -> bytes:
    return sign(kind, document.model_copy(update=changes).to_bytes(), _KEYS[role])


def _root(root: TrustRoot = _ROOT) -> Trusted:
    content = sign("root", root.to_bytes(), _KEYS["root"])
    return Trusted(content, sha256_bytes(root.to_bytes()), _NOW)


def _believing() -> Trusted:
    trusted = _root()
    trusted.take_roster(_signed("roster", _ROSTER, "roster"), _NOW)
    trusted.take_catalogue(_signed("catalogue", _CATALOGUE, "plan"))
    trusted.take_plan(_signed("plan", _PLAN, "plan"), _NOW)
    return trusted


def _offer(trusted: Trusted, kind: str, content: bytes) -> Document:
    if kind == "roster":
        return trusted.take_roster(content, _NOW)
    if kind == "catalogue":
        return trusted.take_catalogue(content)
    if kind == "plan":
        return trusted.take_plan(content, _NOW)
    if kind == "round":
        return trusted.take_round(content, _NOW)
    return trusted.receipt(content) if kind == "receipt" else trusted.refusal(content)


_ALL: dict[str, tuple[Document, str]] = {
    "roster": (_ROSTER, "roster"),
    "catalogue": (_CATALOGUE, "plan"),
    "plan": (_PLAN, "plan"),
    "round": (_ROUND, "aggregator"),
    "receipt": (_RECEIPT, "aggregator"),
    "refusal": (_REFUSAL, "aggregator"),
}


def _code(kind: str, content: bytes) -> str:
    with pytest.raises(Refused) as caught:
        _offer(_believing(), kind, content)
    return caught.value.code


@pytest.mark.parametrize("kind", _ALL)
def test_the_right_document_is_believed(kind: str) -> None:
    document, role = _ALL[kind]
    assert _offer(_believing(), kind, _signed(kind, document, role)) == document


def test_hashes_are_those_of_the_payloads() -> None:
    trusted = _believing()
    assert trusted.roster_sha256 == sha256_bytes(_ROSTER.to_bytes())
    assert trusted.catalogue_sha256 == sha256_bytes(_CATALOGUE.to_bytes())
    assert trusted.plans == {"p": (_PLAN, _PLAN_SHA)}


@pytest.mark.parametrize("kind", _ALL)
@pytest.mark.parametrize("wrong", _ROLES)
def test_only_the_right_role_may_sign(kind: str, wrong: str) -> None:
    document, role = _ALL[kind]
    if wrong != role:
        assert _code(kind, _signed(kind, document, wrong)) == "unknown_signer"


@pytest.mark.parametrize("kind", _ALL)
def test_another_kind_of_the_same_signer_is_refused(kind: str) -> None:
    document, role = _ALL[kind]
    assert _code(kind, _signed("root", document, role)) == "wrong_type"


@pytest.mark.parametrize("kind", _ALL)
def test_another_consortium_is_refused(kind: str) -> None:
    document, role = _ALL[kind]
    assert _code(kind, _signed(kind, document, role, consortium="d")) == "wrong_consortium"


@pytest.mark.parametrize("kind", _ALL)
def test_a_malformed_payload_is_refused(kind: str) -> None:
    assert _code(kind, sign(kind, b"{}", _KEYS[_ALL[kind][1]])) == "malformed"


@pytest.mark.parametrize(
    ("kind", "field"),
    [("roster", "expires"), ("plan", "expires"), ("round", "deadline")],
)
def test_what_expired_is_refused(kind: str, field: str) -> None:
    document, role = _ALL[kind]
    assert _code(kind, _signed(kind, document, role, **{field: _PAST})) == "expired"
    just_now = "2026-06-01T00:00:00Z"
    assert _code(kind, _signed(kind, document, role, **{field: just_now})) == "expired"
    no_date = "2026-13-45T00:00:00Z"
    assert _code(kind, _signed(kind, document, role, **{field: no_date})) == "malformed"


@pytest.mark.parametrize("kind", ["roster", "catalogue", "plan"])
def test_an_older_version_is_rolled_back_and_the_same_is_harmless(kind: str) -> None:
    document, role = _ALL[kind]
    assert _code(kind, _signed(kind, document, role, version=1)) == "rolled_back"
    trusted = _believing()
    _offer(trusted, kind, _signed(kind, document, role))
    _offer(trusted, kind, _signed(kind, document, role, version=3))


def test_the_floor_outlives_a_restart() -> None:
    trusted = _root()
    with pytest.raises(Refused, match="rolled_back"):
        trusted.take_roster(_signed("roster", _ROSTER, "roster"), _NOW, floor=3)
    with pytest.raises(Refused, match="rolled_back"):
        trusted.take_catalogue(_signed("catalogue", _CATALOGUE, "plan"), floor=3)
    with pytest.raises(Refused, match="rolled_back"):
        _believing().take_release(*_offered(), _NOW, floor=2)
    _believing().take_release(*_offered(), _NOW, floor=1)


def test_a_plan_for_another_or_no_catalogue_is_refused() -> None:
    assert (
        _code("plan", _signed("plan", _PLAN, "plan", catalogue_sha256=_ZERO)) == "wrong_catalogue"
    )
    with pytest.raises(Refused, match="wrong_catalogue"):
        _root().take_plan(_signed("plan", _PLAN, "plan"), _NOW)


def test_a_remembered_plan_is_not_held_against_the_catalogue_of_today() -> None:
    trusted = _root()
    plan = _signed("plan", _PLAN, "plan")
    trusted.take_catalogue(_signed("catalogue", _CATALOGUE, "plan"))
    trusted.take_plan(plan, _NOW)
    again = _root()
    again.take_catalogue(_signed("catalogue", _CATALOGUE, "plan", version=3, endpoints=()))
    with pytest.raises(Refused, match="wrong_catalogue"):
        again.take_plan(plan, _NOW)
    again.take_plan(plan, _NOW, remembered=True)
    assert again.plans == trusted.plans


def test_a_plan_with_an_unknown_endpoint_is_refused() -> None:
    content = _signed("plan", _PLAN, "plan", endpoints=("logd", "herg"))
    assert _code("plan", content) == "unknown_endpoint"


def test_a_masked_plan_that_asks_for_more_than_a_mean_is_refused() -> None:
    recipe = _PLAN.recipe.model_copy(update={"aggregate": "krum"})
    content = _signed("plan", _PLAN, "plan", recipe=recipe, privacy=Privacy(masking=MaskRules()))
    assert _code("plan", content) == "not_a_sum"


def test_the_plan_of_a_round_must_be_known_and_the_same() -> None:
    assert _code("round", _signed("round", _ROUND, "aggregator", plan_id="q")) == "unknown_plan"
    assert _code("round", _signed("round", _ROUND, "aggregator", plan_sha256=_ZERO)) == "wrong_plan"


def _offered(**changes: object) -> tuple[Offer, bytes]:
    """Returns what a believed repository would offer, and the manifest."""
    manifest = _RELEASE.model_copy(update=changes)
    content = manifest.to_bytes()
    files = {
        MANIFEST: ObjectRef(sha256=sha256_bytes(content), bytes=len(content)),
        WEIGHTS: ObjectRef(sha256=manifest.weights_sha256, bytes=manifest.weights_bytes),
    }
    return Offer(manifest.release_id, manifest.version, files), content


def _release_code(offer: Offer, content: bytes) -> str:
    with pytest.raises(Refused) as caught:
        _believing().take_release(offer, content, _NOW)
    return caught.value.code


def test_an_offered_release_is_believed() -> None:
    assert _believing().take_release(*_offered(), _NOW) == _RELEASE


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"plan_id": "q"}, "unknown_plan"),
        ({"plan_sha256": _ZERO}, "wrong_plan"),
        ({"consortium": "d"}, "wrong_consortium"),
        ({"expires": _PAST}, "expired"),
        ({"expires": "2026-13-45T00:00:00Z"}, "malformed"),
        ({"version": 0}, "malformed"),
    ],
)
def test_a_release_that_does_not_fit_is_refused(changes: dict[str, object], code: str) -> None:
    assert _release_code(*_offered(**changes)) == code


def test_another_manifest_than_was_offered_is_refused() -> None:
    offer, content = _offered()
    assert _release_code(offer, content + b" ") == "wrong_manifest"
    assert _release_code(offer, content.replace(b"rel-2", b"rel-3")) == "wrong_manifest"


def test_the_manifest_of_another_release_is_refused() -> None:
    offer, content = _offered()
    assert _release_code(replace(offer, release_id="rel-3"), content) == "wrong_manifest"
    assert _release_code(replace(offer, version=3), content) == "wrong_manifest"


def test_a_manifest_that_names_other_weights_than_were_offered_is_refused() -> None:
    offer, content = _offered()
    other = ObjectRef(sha256="11" * 32, bytes=1)
    files = {**offer.files, WEIGHTS: other}
    assert _release_code(replace(offer, files=files), content) == "wrong_target"
    files.pop(WEIGHTS)
    assert _release_code(replace(offer, files=files), content) == "wrong_target"


def test_a_manifest_that_names_other_golden_molecules_than_were_offered_is_refused() -> None:
    offer, content = _offered()
    golden = ObjectRef(sha256="22" * 32, bytes=2)
    files = {**offer.files, GOLDEN: golden}
    assert _release_code(replace(offer, files=files), content) == "wrong_target"


def test_a_root_that_names_no_repository_lets_no_release_in() -> None:
    with pytest.raises(Refused, match="no_repository"):
        _root().take_repository(b"{}", "stable", _NOW, lambda _: 0)


def test_the_root_names_the_repository() -> None:
    releases = Releases(_NOW)
    letter = releases.state().to_bytes()
    root = _ROOT.model_copy(update={"release_root_sha256": releases.root_sha256})
    assert _root(root).take_repository(letter, "stable", _NOW, lambda _: 0).offers == ()
    other = _ROOT.model_copy(update={"release_root_sha256": _ZERO})
    with pytest.raises(Refused, match="wrong_root"):
        _root(other).take_repository(letter, "stable", _NOW, lambda _: 0)


def test_a_round_before_its_plan_begins_is_refused() -> None:
    trusted = _believing()
    early = _signed("round", _ROUND, "aggregator")
    with pytest.raises(Refused) as caught:
        trusted.take_round(early, from_text(_PLAN.not_before) - timedelta(seconds=1))
    assert caught.value.code == "too_early"


def test_a_round_with_a_silo_that_the_plan_does_not_name_is_refused() -> None:
    puppets = (*_PLAN.participants, "puppet")
    content = _signed("round", _ROUND, "aggregator", participants=puppets)
    assert _code("round", content) == "strange_participant"


def test_a_root_that_was_not_pinned_is_refused() -> None:
    with pytest.raises(Refused, match="wrong_root"):
        Trusted(sign("root", _ROOT.to_bytes(), _KEYS["root"]), _ZERO, _NOW)


def test_a_root_must_sign_itself() -> None:
    content = sign("root", _ROOT.to_bytes(), new_signing("root"))
    with pytest.raises(Refused, match="unknown_signer"):
        Trusted(content, sha256_bytes(_ROOT.to_bytes()), _NOW)


def test_an_expired_root_is_refused() -> None:
    with pytest.raises(Refused, match="expired"):
        _root(_ROOT.model_copy(update={"expires": _PAST}))


def test_a_role_without_keys_is_refused() -> None:
    roles = {role: keys for role, keys in _ROOT.roles.items() if role != "roster"}
    trusted = _root(_ROOT.model_copy(update={"roles": roles}))
    with pytest.raises(Refused, match="unknown_role"):
        trusted.take_roster(_signed("roster", _ROSTER, "roster"), _NOW)


def test_a_threshold_counts() -> None:
    other = new_signing("root")
    keys = {key_id(key.public_hex): key.public_hex for key in (_KEYS["plan"], other)}
    roles = {**_ROOT.roles, "plan": RoleKeys(threshold=2, keys=keys)}
    trusted = _root(_ROOT.model_copy(update={"roles": roles}))
    with pytest.raises(Refused, match="too_few_signatures"):
        trusted.take_catalogue(_signed("catalogue", _CATALOGUE, "plan"))
    trusted.take_catalogue(sign("catalogue", _CATALOGUE.to_bytes(), _KEYS["plan"], other))


@pytest.mark.parametrize("kind", _ALL)
def test_what_is_refused_changes_nothing(kind: str) -> None:
    trusted = _believing()
    before = (trusted.roster, trusted.catalogue, dict(trusted.plans))
    document, role = _ALL[kind]
    with pytest.raises(Refused):
        _offer(trusted, kind, _signed(kind, document, role, consortium="d"))
    assert (trusted.roster, trusted.catalogue, trusted.plans) == before


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(_ALL)), st.binary(max_size=200))
def test_any_bytes_are_refused(kind: str, content: bytes) -> None:
    with pytest.raises(Refused):
        _offer(_root(), kind, content)


_NEW = new_signing("root")
_ROOT_2 = _ROOT.model_copy(
    update={"version": 2, "roles": {**_ROOT.roles, "root": _role(_NEW), "roster": _role(_NEW)}}
)
_HANDOVER = sign("root", _ROOT_2.to_bytes(), _KEYS["root"], _NEW)


def _walked(*chain: bytes, floor: int = 0, now: datetime = _NOW) -> Trusted:
    content = sign("root", _ROOT.to_bytes(), _KEYS["root"])
    return Trusted(content, sha256_bytes(_ROOT.to_bytes()), now, chain, floor)


def test_a_chain_of_roots_is_walked() -> None:
    third = _ROOT_2.model_copy(update={"version": 3})
    trusted = _walked(_HANDOVER, sign("root", third.to_bytes(), _NEW))
    assert trusted.root.version == 3
    assert trusted.root_sha256 == sha256_bytes(third.to_bytes())
    with pytest.raises(Refused, match="unknown_signer"):
        trusted.take_roster(_signed("roster", _ROSTER, "roster"), _NOW)
    assert trusted.take_roster(sign("roster", _ROSTER.to_bytes(), _NEW), _NOW) == _ROSTER


@pytest.mark.parametrize(
    ("root", "signers", "code"),
    [
        (_ROOT_2, (_NEW,), "unknown_signer"),
        (_ROOT_2, (_KEYS["root"],), "unknown_signer"),
        (_ROOT_2, (_KEYS["roster"], _KEYS["plan"]), "unknown_signer"),
        (_ROOT_2.model_copy(update={"version": 3}), (_KEYS["root"], _NEW), "skipped_root"),
        (_ROOT_2.model_copy(update={"version": 1}), (_KEYS["root"], _NEW), "rolled_back"),
        (_ROOT_2.model_copy(update={"consortium": "x"}), (_KEYS["root"], _NEW), "wrong_consortium"),
        (_ROOT_2.model_copy(update={"roles": {}}), (_KEYS["root"], _NEW), "unknown_role"),
    ],
    ids=["new-alone", "old-alone", "others", "skipped", "old-version", "other", "no-root-role"],
)
def test_a_false_root_is_refused(
    root: TrustRoot, signers: tuple[SigningIdentity, ...], code: str
) -> None:
    trusted = _walked()
    with pytest.raises(Refused) as caught:
        trusted.take_root(sign("root", root.to_bytes(), *signers))
    assert caught.value.code == code
    assert trusted.root == _ROOT


def test_the_floor_says_that_a_later_root_was_seen() -> None:
    assert _walked(_HANDOVER, floor=2).root.version == 2
    with pytest.raises(Refused, match="rolled_back"):
        _walked(floor=2)


def test_only_the_last_root_must_not_have_expired() -> None:
    later = _NOW + timedelta(days=60)
    with pytest.raises(Refused, match="expired"):
        _walked(now=later)
    renewed = _ROOT_2.model_copy(update={"expires": "2027-01-01T00:00:00Z"})
    handover = sign("root", renewed.to_bytes(), _KEYS["root"], _NEW)
    assert _walked(handover, now=later).root.version == 2


def test_an_expired_root_lets_nothing_new_in() -> None:
    trusted = _believing()
    later = _NOW + timedelta(days=60)
    roster = _ROSTER.model_copy(update={"expires": "2027-01-01T00:00:00Z"})
    with pytest.raises(Refused, match="trust root expired"):
        trusted.take_roster(_signed("roster", roster, "roster"), later)
    with pytest.raises(Refused, match="trust root expired"):
        trusted.take_round(_signed("round", _ROUND, "aggregator"), later)


def test_what_was_believed_under_an_earlier_root_is_remembered() -> None:
    trusted = _walked(_HANDOVER)
    old = _signed("roster", _ROSTER, "roster")
    with pytest.raises(Refused, match="unknown_signer"):
        trusted.take_roster(old, _NOW)
    assert trusted.take_roster(old, _NOW, remembered=True) == _ROSTER
    with pytest.raises(Refused, match="unknown_signer"):
        trusted.take_roster(_signed("roster", _ROSTER, "plan"), _NOW, remembered=True)


@pytest.mark.parametrize("profile", ["classic", "hybrid"])
def test_a_round_must_seal_as_its_plan_says(profile: str) -> None:
    plan = _PLAN.model_copy(update={"seal_profile": profile})
    trusted = _believing()
    trusted.take_plan(_signed("plan", plan, "plan"), _NOW)
    named = {"plan_sha256": sha256_bytes(plan.to_bytes())}
    keys = {"classic": None, "hybrid": "00" * 1184}
    for kind, key in keys.items():
        content = _signed("round", _ROUND, "aggregator", kem_key=key, **named)
        if kind == profile:
            assert trusted.take_round(content, _NOW).kem_key == key
        else:
            with pytest.raises(Refused, match="wrong_profile"):
                trusted.take_round(content, _NOW)


def test_a_plans_first_round_starts_from_the_weights_that_it_names() -> None:
    plan = _PLAN.model_copy(update={"start_sha256": "ab" * 32})
    trusted = _believing()
    trusted.take_plan(_signed("plan", plan, "plan"), _NOW)
    named = {"plan_sha256": sha256_bytes(plan.to_bytes())}
    assert _ROUND.base_sha256 != plan.start_sha256
    first = _signed("round", _ROUND, "aggregator", number=1, **named)
    with pytest.raises(Refused, match="wrong_start"):
        trusted.take_round(first, _NOW)
    for number, base in ((1, plan.start_sha256), (2, _ROUND.base_sha256)):
        later = _signed("round", _ROUND, "aggregator", number=number, base_sha256=base, **named)
        assert trusted.take_round(later, _NOW).number == number


def test_the_root_in_force_is_taken_once_more_with_its_signatures_only() -> None:
    trusted = _walked(_HANDOVER)
    assert trusted.take_root(_HANDOVER).version == 2
    for signers in ((_NEW,), (_KEYS["root"],), ()):
        with pytest.raises(Refused, match="unknown_signer"):
            trusted.take_root(sign("root", _ROOT_2.to_bytes(), *signers))
    assert _walked().take_root(sign("root", _ROOT.to_bytes(), _KEYS["root"])).version == 1
