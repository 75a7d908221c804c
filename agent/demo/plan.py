"""The demo's plan: small enough for two cores and five minutes."""

from typing import Any

from agent.demo.masked import masking
from agent.features.spec import default_spec

ENDPOINTS = ("logbb", "bbb_class", "solubility")
ROUNDS = 10
RELEASES = 2


def draft(rounds: int = ROUNDS, *, masked: bool = False) -> dict[str, Any]:
    """Returns the draft that the aggregator completes and signs: two releases in so many rounds.

    Args:
        rounds: How many.
        masked: Updates are masked, and there is one release at the end. Rounds are few there, and
            a private head learns only from its own silo: so its copies are fitted for longer.
            Each silo counts alike, so that the clip bounds what a silo can do.
    """
    plan = _draft(rounds)
    if masked:
        plan |= masking()
        plan["recipe"] |= {"release_every": rounds, "finetune_epochs": 24, "weighting": "uniform"}
    return plan


def _draft(rounds: int) -> dict[str, Any]:
    return {
        "plan_id": "demo",
        "endpoints": list(ENDPOINTS),
        "features": default_spec().model_dump(mode="json"),
        "network": {"hidden": [512, 256], "dropout": 0.2, "seed": 7},
        "recipe": {
            "rounds": rounds,
            "local_epochs": 4,
            "batch_size": 64,
            "learning_rate": 0.002,
            "weight_decay": 0.0001,
            "weighting": "sqrt_n",
            "server_momentum": 0.0,
            "release_every": max(rounds // RELEASES, 1),
            "finetune_epochs": 8,
        },
        "quorum": 3,
        "round_deadline_s": 900.0,
        # Fixed, so that two runs of the demo hold out the same compounds.
        "fold_key": "6f6e676769" + "0" * 54,
    }
