"""A recipe for the plans of tests: each says what matters to it, and no more."""

from agent.wire.recipe import Recipe

_USUAL = {
    "rounds": 2,
    "local_epochs": 1,
    "batch_size": 8,
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "weighting": "n",
    "server_momentum": 0.0,
    "release_every": 1,
    "finetune_epochs": 0,
}


def recipe(**changes: object) -> Recipe:
    """Returns the usual recipe with some of its settings changed."""
    return Recipe.model_validate({**_USUAL, **changes})
