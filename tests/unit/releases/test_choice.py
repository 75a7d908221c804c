from agent.releases.card import Way
from agent.releases.choice import choice, reason
from tests.kit.cards import LOGD, OLD, OWN


def test_an_average_is_told_with_its_shares_and_errors() -> None:
    assert choice(LOGD) == "average"
    assert reason(LOGD) == (
        "50% the consortium's model, 50% its copy fitted here; MAE where the choice was made: "
        "federated 0.42, personal 0.45."
    )


def test_the_better_one_alone() -> None:
    ways = (Way(name="federated", share=0.0, error=0.5), Way(name="personal", share=1.0, error=0.4))
    task = LOGD.model_copy(update={"ways": ways})
    assert choice(task) == "personal"
    assert reason(task).startswith("its copy fitted here; MAE where the choice was made: personal")


def test_without_errors_the_plan_has_chosen() -> None:
    task = LOGD.model_copy(update={"ways": (Way(name="federated", share=1.0),)})
    assert choice(task) == "federated"
    assert "as the plan says" in reason(task)


def test_a_private_head_has_no_other_way() -> None:
    assert "only this silo" in reason(OWN)


def test_an_old_card_does_not_say() -> None:
    assert (choice(OLD), reason(OLD)) == ("", "")


def test_the_sentence_says_on_what_and_why() -> None:
    update = {"average_error": 0.41, "n_compared": 60}
    assert reason(LOGD.model_copy(update=update)) == (
        "50% the consortium's model, 50% its copy fitted here; no other is better beyond chance; "
        "MAE where the choice was made (60 newest labels): average 0.41, federated 0.42, "
        "personal 0.45."
    )
    ways = (Way(name="federated", share=0.0), Way(name="personal", share=1.0, error=0.3))
    moved = reason(LOGD.model_copy(update={**update, "ways": ways}))
    assert "better than the average beyond chance" in moved
    assert moved.endswith("personal 0.3, average 0.41.")


def test_a_head_without_labels_here_is_the_consortiums() -> None:
    ways = (Way(name="federated", share=1.0), Way(name="personal", share=0.0))
    task = LOGD.model_copy(update={"ways": ways, "n_train": 0})
    assert reason(task) == "the consortium's model; nothing to learn from is measured here."
