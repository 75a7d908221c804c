from agent.keeper.local import baseline_job, local_key
from tests.kit.consortium import Consortium


def test_a_local_model_is_named_by_its_data_and_its_making() -> None:
    plan = Consortium().plan_document()
    others = (
        plan.model_copy(update={"recipe": plan.recipe.model_copy(update={"local_epochs": 7})}),
        plan.model_copy(update={"network": plan.network.model_copy(update={"seed": 8})}),
    )
    one, two = "1" * 64, "2" * 64
    keys = {local_key(snapshot, p) for snapshot in (one, two) for p in (plan, *others)}
    jobs = {baseline_job(snapshot, p) for snapshot in (one, two) for p in (plan, *others)}
    assert (len(keys), len(jobs)) == (6, 6)
    again = plan.model_copy(update={"plan_id": "p2", "version": 9})
    assert local_key(one, again) == local_key(one, plan)
