from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.files import sha256_bytes
from agent.keeper import status
from agent.keeper.orders import PairScore, ReleaseOrder, Result, TaskScore
from agent.releases import folder
from agent.releases.attempts import MAX_ATTEMPTS

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


def scored(value: float) -> TaskScore:
    return TaskScore(task="logbb", metric="MAE", value=value, n_train=50, n_test=30)


def paired(candidate: float, active: float) -> PairScore:
    return PairScore(
        task="logbb",
        metric="MAE",
        candidate=candidate,
        active=active,
        n=30,
        low=(candidate - active) / 2,
        high=(candidate - active) * 2,
        since="",
    )


class Stage:
    """Leads releases through the rollout; `staged` stands for what a worker built."""

    def __init__(self, house: "House") -> None:
        self.house = house
        house.bring("plan", house.consortium.plan())

    def announce(self, version: int) -> None:
        self.house.bring_release(version)

    def order(self, version: int) -> ReleaseOrder:
        house = self.house
        house.order_release(house.ready())
        order = house.workers.order(house.item("job", f"gate-r{version}"))
        assert isinstance(order, ReleaseOrder)
        return order

    def staged(self, version: int) -> Path:
        path = self.house.paths.jobs / f"gate-r{version}" / "release"
        path.mkdir(parents=True)
        for name in folder.REQUIRED:
            (path / name).write_bytes(f"{name} {version}".encode())
        return path

    def book(self, version: int, score: float = 0.5, active: float | None = None) -> None:
        house, order = self.house, self.order(version)
        scores = (scored(active),) if active is not None else ()
        pairs = (paired(score, active),) if active is not None else ()
        result = Result(scores=(scored(score),), active_scores=scores, pairs=pairs)
        with house.ledger.transaction():
            house.rollout.book(order, result, self.staged(version), house.now)

    def settle(self) -> None:
        self.house.rollout.start_trials(self.house.now)
        self.house.rollout.judge_trials(self.house.now)

    def load(self, version: int) -> None:
        self.house.attempts.begin(f"r{version}")
        self.house.attempts.succeeded(f"r{version}")
        self.settle()

    def activate(self, version: int) -> None:
        self.announce(version)
        self.book(version)
        self.settle()
        self.load(version)

    def states(self) -> dict[str, str]:
        return {item.id: item.state for item in self.house.ledger.find("release")}

    def active(self) -> str | None:
        return folder.active_id(self.house.paths.releases)


@pytest.fixture
def stage(house: "House") -> Stage:
    return Stage(house)


def test_a_release_becomes_active_once_predict_has_loaded_it(stage: Stage) -> None:
    stage.announce(1)
    assert stage.states() == {"r1": "announced"}
    stage.book(1)
    assert stage.states() == {"r1": "gated"}
    assert stage.active() is None
    stage.settle()
    assert (stage.states(), stage.active()) == ({"r1": "trial"}, "r1")
    stage.house.attempts.begin("r1")
    stage.settle()
    assert stage.states() == {"r1": "trial"}
    stage.load(1)
    assert stage.states() == {"r1": "active"}
    stage.settle()
    assert stage.states() == {"r1": "active"}


def test_a_release_waits_for_its_weights_and_for_local_scores(stage: Stage) -> None:
    house = stage.house
    house.bring_release(weights=False)
    house.order_release(house.ready())
    assert stage.states() == {"r1": "announced"}
    weights = house.consortium.release_document().weights_sha256
    house.inbox.object_path(weights).write_bytes(house.consortium.base)
    house.order_release(None)
    assert stage.states() == {"r1": "fetched"}
    assert "first snapshot" in house.item("release", "r1").why
    assert not house.ledger.find("job")


def test_the_gate_refuses_what_is_much_worse(stage: Stage) -> None:
    stage.activate(1)
    stage.announce(2)
    assert stage.order(2).active == str(stage.house.paths.releases / "r1")
    stage.book(2, score=0.9, active=0.5)
    stage.settle()
    assert stage.states() == {"r1": "active", "r2": "refused"}
    assert stage.active() == "r1"
    refused = stage.house.item("release", "r2")
    assert "worse by 80%" in refused.why
    assert refused.detail["gate"] == {"logbb": refused.why}
    assert not (stage.house.paths.releases / "r2").exists()


def test_the_gate_takes_what_is_better_and_replaces_the_older(stage: Stage) -> None:
    stage.activate(1)
    stage.announce(2)
    stage.book(2, score=0.4, active=0.5)
    stage.settle()
    assert stage.states() == {"r1": "replaced", "r2": "trial"}
    assert stage.active() == "r2"
    stage.load(2)
    assert stage.states() == {"r1": "replaced", "r2": "active"}


def test_each_release_is_compared_with_the_one_before_it(stage: Stage) -> None:
    """Two that arrive together are not both judged as if there were none."""
    stage.announce(1)
    stage.announce(2)
    stage.order(1)
    assert stage.house.ledger.get("job", "gate-r2") is None
    stage.book(1)
    stage.settle()
    assert stage.order(2).active == str(stage.house.paths.releases / "r1")


def test_a_release_waits_for_the_verdict_on_the_one_before_it(stage: Stage) -> None:
    stage.announce(1)
    stage.book(1)
    stage.settle()
    stage.announce(2)
    stage.book(2)
    stage.settle()
    assert (stage.states(), stage.active()) == ({"r1": "trial", "r2": "gated"}, "r1")
    stage.load(1)
    stage.settle()
    assert (stage.states(), stage.active()) == ({"r1": "replaced", "r2": "trial"}, "r2")
    stage.load(2)
    assert stage.states() == {"r1": "replaced", "r2": "active"}


def test_after_two_bad_releases_the_last_good_one_serves(stage: Stage) -> None:
    stage.activate(1)
    for version in (2, 3):
        stage.announce(version)
        stage.book(version, score=0.4, active=0.5)
        stage.settle()
    for version in (2, 3):
        assert stage.active() == f"r{version}"
        for _ in range(MAX_ATTEMPTS):
            stage.house.attempts.begin(f"r{version}")
        stage.house.attempts.settle()
        stage.settle()
        stage.settle()
    assert stage.states() == {"r1": "active", "r2": "rolled back", "r3": "rolled back"}
    assert stage.active() == "r1"


def test_a_release_that_kills_predict_is_taken_back(stage: Stage) -> None:
    stage.activate(1)
    stage.announce(2)
    stage.book(2, score=0.4, active=0.5)
    stage.settle()
    for _ in range(MAX_ATTEMPTS):
        stage.settle()
        assert stage.active() == "r2"
        stage.house.attempts.begin("r2")
        stage.house.attempts.settle()  # as predict does when it is started again
    stage.settle()
    assert stage.states() == {"r1": "active", "r2": "rolled back"}
    assert stage.active() == "r1"
    assert "predict died" in stage.house.item("release", "r2").why
    assert "r2 was rolled back" in stage.house.item("release", "r1").why
    stage.settle()
    assert stage.states() == {"r1": "active", "r2": "rolled back"}


def test_an_attempt_that_is_under_way_is_not_judged(stage: Stage) -> None:
    """The third may succeed, and its reason is not known before its end."""
    stage.activate(1)
    stage.announce(2)
    stage.book(2)
    stage.settle()
    attempts = stage.house.attempts
    for number in range(MAX_ATTEMPTS):
        attempts.begin("r2")
        stage.settle()
        assert stage.states()["r2"] == "trial"
        if number < MAX_ATTEMPTS - 1:
            attempts.failed("r2", "Not yet.")
    attempts.succeeded("r2")
    stage.settle()
    assert stage.states()["r2"] == "active"


def test_predicts_own_reason_is_kept(stage: Stage) -> None:
    stage.announce(1)
    stage.book(1)
    stage.settle()
    for _ in range(MAX_ATTEMPTS):
        stage.house.attempts.begin("r1")
        stage.house.attempts.failed("r1", "The model gives no finite number.")
    stage.settle()
    assert stage.house.item("release", "r1").why == "The model gives no finite number."
    assert stage.active() == "r1"  # there is none before it; predict itself does not load it


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("name", ["roll_back", "active_id"])
def test_a_kill_while_taking_back_is_made_good(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stage.activate(1)
    stage.announce(2)
    stage.book(2, score=0.4, active=0.5)
    stage.settle()
    for _ in range(MAX_ATTEMPTS):
        stage.house.attempts.begin("r2")
    stage.house.attempts.settle()
    real = getattr(folder, name)

    def deadly(releases: Path) -> object:
        real(releases)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(folder, name, deadly)
        with pytest.raises(Killed):
            stage.settle()
    stage.house.reopen()
    stage.settle()
    assert stage.states() == {"r1": "active", "r2": "rolled back"}
    assert stage.active() == "r1"


def test_a_kill_between_installing_and_the_commit_refuses_nothing(stage: Stage) -> None:
    house = stage.house
    stage.announce(1)
    order, staged = stage.order(1), stage.staged(1)
    result = Result(scores=(scored(0.5),))

    def book_and_die() -> None:
        with house.ledger.transaction():
            house.rollout.book(order, result, staged, house.now)
            raise Killed

    with pytest.raises(Killed):
        book_and_die()
    assert stage.states() == {"r1": "fetched"}
    assert (house.paths.releases / "r1").is_dir()
    house.reopen()
    with house.ledger.transaction():
        house.rollout.book(order, result, staged, house.now)
    stage.settle()
    assert (stage.states(), stage.active()) == ({"r1": "trial"}, "r1")


def test_a_kill_between_the_link_and_its_state(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.activate(1)
    stage.announce(2)
    stage.book(2, score=0.4, active=0.5)
    real = folder.activate

    def deadly(releases: Path, release_id: str) -> None:
        real(releases, release_id)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(folder, "activate", deadly)
        with pytest.raises(Killed):
            stage.settle()
    stage.house.reopen()
    stage.settle()
    assert stage.states() == {"r1": "replaced", "r2": "trial"}
    assert folder.previous_id(stage.house.paths.releases) == "r1"


def test_a_release_that_cannot_be_checked_is_refused(stage: Stage) -> None:
    stage.announce(1)
    order = stage.order(1)
    why = "Tensor 'trunk.0.norm.bias' holds a number that is not finite."
    bad = Result(refused_code="not_finite", refused=why)
    stage.house.rollout.give_up(order, bad, stage.house.now)
    refused = stage.house.item("release", "r1")
    assert refused.why == why
    assert refused.detail["reason"] == "bad_weights"
    stage.house.rollout.give_up(order, Result(refused="again"), stage.house.now)
    stage.house.rollout.book(order, Result(), Path("none"), stage.house.now)
    assert stage.states() == {"r1": "refused"}


def test_refused_weights_are_refused_at_once_under_another_name(stage: Stage) -> None:
    stage.activate(1)
    stage.announce(2)
    stage.book(2, score=0.9, active=0.5)
    stage.announce(3)
    stage.house.order_release(stage.house.ready())
    assert stage.states() == {"r1": "active", "r2": "refused", "r3": "refused"}
    held = stage.house.item("release", "r3")
    assert held.why.startswith("The same weights were refused as r2 on 2026-03-01: logbb: MAE")
    assert (held.detail["reason"], held.detail["held_as"]) == ("worse", "r2")
    assert stage.house.ledger.get("job", "gate-r3") is None


def test_weights_that_were_rolled_back_are_held_too(stage: Stage) -> None:
    stage.activate(1)
    stage.announce(2)
    stage.book(2)
    stage.settle()
    for _ in range(MAX_ATTEMPTS):
        stage.house.attempts.begin("r2")
    stage.house.attempts.settle()
    stage.settle()
    assert stage.states() == {"r1": "active", "r2": "rolled back"}
    stage.announce(3)
    stage.house.order_release(stage.house.ready())
    assert stage.states()["r3"] == "refused"
    assert stage.house.item("release", "r3").detail["reason"] == "does_not_load"


def test_one_that_is_held_while_its_twin_is_checked(stage: Stage) -> None:
    """Both had arrived; the second is not checked once the first is refused."""
    stage.announce(1)
    stage.announce(2)
    order = stage.order(1)
    assert stage.states() == {"r1": "fetched", "r2": "fetched"}
    bad = Result(refused_code="absurd_weights", refused="Too large.")
    stage.house.rollout.give_up(order, bad, stage.house.now)
    stage.house.order_release(stage.house.ready())
    assert stage.states() == {"r1": "refused", "r2": "refused"}


def test_a_person_lets_weights_pass(stage: Stage) -> None:
    house = stage.house
    stage.announce(1)
    bad = Result(refused_code="not_finite", refused="Not finite.")
    house.rollout.give_up(stage.order(1), bad, house.now)
    house.let_pass = frozenset({house.consortium.release_document().weights_sha256})
    house.reopen()
    stage.announce(2)
    house.order_release(house.ready())
    assert stage.states() == {"r1": "refused", "r2": "fetched"}


def test_a_release_waits_for_its_golden_molecules_too(stage: Stage) -> None:
    house, golden = stage.house, b"{}"
    house.bring_release(1, golden_sha256=sha256_bytes(golden), golden_bytes=2)
    house.order_release(house.ready())
    assert stage.states() == {"r1": "announced"}
    path = house.inbox.object_path(sha256_bytes(golden))
    path.write_bytes(golden)
    assert stage.order(1).golden == str(path)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("how", ["replaced", "expired"])
def test_the_last_release_of_a_plan_that_ended_is_checked(
    stage: Stage, how: str, restart: bool
) -> None:
    house = stage.house
    stage.announce(1)
    if how == "replaced":
        house.bring("plan", house.consortium.plan("p2"))
    else:
        house.later(31 * 86400)
    if restart:
        house.reopen()
    assert [plan.plan_id for plan in house.rollout.plans()] == ["p1"]
    assert stage.order(1).plan == house.consortium.plan_document()


@pytest.mark.parametrize("restart", [False, True])
def test_a_release_of_a_plan_from_before_the_catalogue(stage: Stage, restart: bool) -> None:
    house = stage.house
    stage.announce(1)
    house.bring("catalogue", house.consortium.signed_catalogue(2))
    if restart:
        house.reopen()
    assert stage.order(1).plan == house.consortium.plan_document()


def test_a_release_of_a_plan_that_is_not_believed_again(stage: Stage) -> None:
    house = stage.house
    stage.announce(1)
    house.ledger.put_document("plan", "p1", b"damaged", house.now)
    house.reopen()
    house.order_release(house.ready())
    assert stage.states() == {"r1": "refused"}
    assert "not trusted" in house.item("release", "r1").why


def test_a_release_that_waits_does_not_hold_up_another(stage: Stage) -> None:
    house = stage.house
    stage.announce(1)
    other = house.consortium.plan_document("p2")
    house.bring("plan", house.consortium.plan("p2"))
    plan_sha256 = sha256_bytes(other.to_bytes())
    house.bring_release(2, plan_id="p2", plan_sha256=plan_sha256)
    house.rollout.order(lambda plan: house.ready() if plan.plan_id == "p2" else None, house.now)
    assert "first snapshot" in house.item("release", "r1").why
    assert house.state("job", "gate-r2") == "queued"


def test_the_status_shows_errors_and_verdicts(stage: Stage) -> None:
    stage.activate(1)
    stage.announce(2)
    stage.book(2, score=0.9, active=0.5)
    report = status.report(stage.house.ledger, "silo-a")
    stages = report["stages"]
    assert isinstance(stages, dict)
    releases = stages["releases"]
    assert isinstance(releases, dict)
    assert releases["counts"] == {"active": 1, "refused": 1}
    wrong = releases["wrong"]
    assert isinstance(wrong, list)
    assert isinstance(wrong[0], dict)
    assert "worse by 80%" in str(wrong[0]["why"])
    models = report["models"]
    assert isinstance(models, list)
    assert isinstance(models[0], dict)
    assert models[0]["tasks"] == [
        {
            "task": "logbb",
            "metric": "MAE",
            "n_train": 50,
            "n_test": 30,
            "local": None,
            "federated": 0.5,
        }
    ]
