"""Drafts: what is filled in, and what is told to their author."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused, Stop
from agent.features.spec import default_spec
from agent.wire.documents import LocalNoise, MaskRules, Plan, Privacy, SharedNoise
from consortium.plans import Draft, default_features, read_draft

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House


def _sign(house: "House", draft: Draft) -> Plan:
    return house.publish_plan(draft)


def _refused(house: "House", draft: Draft) -> str:
    with pytest.raises(Refused) as caught:
        _sign(house, draft)
    return caught.value.code


def test_a_short_draft_is_completed(house: "House") -> None:
    house.enrol("c", "a", "b", "d")
    plan = _sign(house, Draft(plan_id="first"))
    assert plan.participants == ("a", "b", "c", "d")
    assert plan.quorum == 3
    assert plan.reference_sha256 == "ab" * 32
    assert "logbb" in plan.endpoints
    assert plan.features == default_features()


def test_the_default_features_are_the_agents() -> None:
    assert default_features() == default_spec()


_SHARED = SharedNoise(
    masking=MaskRules(), epsilon=8.0, delta=1e-5, noise=2.0, clip=1.0, sampling_rate=0.1
)
_UNIFORM = Draft(plan_id="p").recipe.model_copy(update={"weighting": "uniform"})


def _shared(clip: float, noise: float) -> SharedNoise:
    rules = MaskRules(clip=clip)
    return _SHARED.model_copy(update={"masking": rules, "noise": noise})


@pytest.mark.parametrize(
    ("code", "draft"),
    [
        ("unknown_endpoint", Draft(plan_id="p", endpoints=("hydration",))),
        ("unknown_member", Draft(plan_id="p", participants=("z",))),
        ("bad_quorum", Draft(plan_id="p", quorum=3)),
        ("no_reference", Draft(plan_id="p", reference_sha256="cd" * 32)),
        ("plan_id_too_long", Draft(plan_id="p" * 60)),
        (
            "weighting_tells",
            Draft(
                plan_id="p",
                privacy=LocalNoise(epsilon=8.0, delta=1e-5, clip=1.0, sampling_rate=0.1),
            ),
        ),
        ("weighting_tells", Draft(plan_id="p", privacy=_SHARED)),
        ("no_headroom", Draft(plan_id="p", recipe=_UNIFORM, privacy=_shared(1e-6, 50.0))),
        ("ring_too_coarse", Draft(plan_id="p", recipe=_UNIFORM, privacy=_shared(1e4, 0.3))),
        (
            "not_a_sum",
            Draft(
                plan_id="p",
                recipe=Draft(plan_id="p").recipe.model_copy(update={"aggregate": "median"}),
                privacy=Privacy(masking=MaskRules()),
            ),
        ),
    ],
)
def test_a_draft_that_cannot_work_is_refused(house: "House", code: str, draft: Draft) -> None:
    house.enrol("a", "b")
    assert _refused(house, draft) == code


def test_a_plan_whose_silos_share_noise_is_published(house: "House") -> None:
    house.enrol("a", "b", "c", "d", "e", "f")
    plan = _sign(house, Draft(plan_id="p", recipe=_UNIFORM, privacy=_SHARED))
    assert plan.privacy == _SHARED


def test_a_plan_is_published_once(house: "House") -> None:
    house.enrol("a")
    _sign(house, Draft(plan_id="p"))
    assert _refused(house, Draft(plan_id="p")) == "plan_exists"


def test_a_plan_needs_members(house: "House") -> None:
    assert _refused(house, Draft(plan_id="p")) == "no_members"


def test_json_and_toml_drafts_read_alike(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"plan_id": "p", "quorum": 2, "endpoints": ["logd"]}')
    (tmp_path / "p.toml").write_text('plan_id = "p"\nquorum = 2\nendpoints = ["logd"]\n')
    assert read_draft(tmp_path / "p.json") == read_draft(tmp_path / "p.toml")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.json", b"{"),
        ("p.json", b'{"plan_id": "p", "code": "import os"}'),
        ("p.toml", b"plan_id = "),
        ("p.toml", b"plan_id = 2026-01-01"),
        ("p.toml", b"\xff"),
    ],
)
def test_a_draft_with_a_slip_says_where(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Stop, match=name):
        read_draft(tmp_path / name)


def test_a_missing_draft_is_said(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="Cannot read"):
        read_draft(tmp_path / "none.json")


def test_options_win_over_the_draft() -> None:
    draft = Draft(plan_id="p", quorum=5).adjusted(3, None, 7.0)
    assert (draft.recipe.rounds, draft.quorum, draft.round_deadline_s) == (3, 5, 7.0)
