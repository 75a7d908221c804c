"""How the model is named that this silo could make alone: by its data and by how it was made."""

import hashlib

from agent.wire.documents import Plan

OWNER = "local"


def local_key(snapshot: str, plan: Plan) -> str:
    """Names the data and the making of a local-only model.

    Another plan with the same features and folds has the same snapshot; with another network or
    recipe its local-only model is another one, and so are that model's errors.
    """
    text = f"{plan.network.model_dump_json()}\n{plan.recipe.model_dump_json()}"
    return f"{snapshot}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def baseline_job(snapshot: str, plan: Plan) -> str:
    """Returns the id of the job that trains and scores it."""
    return f"baseline-{snapshot[:16]}-{local_key(snapshot, plan)[-16:]}"
