"""A release as the process that answers HTTP holds it: its card here, its models in the workers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from agent.errors import Refused
from agent.records import InvalidStructure, Structure
from agent.releases.card import ModelCard, read_card
from agent.serving import bodies
from agent.serving.answers import Answer, Estimate
from agent.serving.bodies import Asked
from agent.serving.pool import Pool


class RemoteRelease:
    """A release that every worker has loaded."""

    def __init__(self, card: ModelCard, pool: Pool) -> None:
        self.card = card
        self._pool = pool

    @classmethod
    def load(cls, folder: Path, pool: Pool) -> Self:
        """Lets the workers load the release in the folder.

        Raises:
            Refused: As `Predictor.load`, or `does_not_load`: a worker died of it.
            TimeoutError: The workers do not start.
        """
        card = read_card(folder)
        if card.release_id != folder.name:
            raise Refused("wrong_card", "The card in the folder is that of another release.")
        pool.load(card.release_id)
        return cls(card, pool)

    def predict(self, structures: Sequence[tuple[str, Structure]]) -> list[Answer]:
        """Predicts a few structures, from another thread than the event loop's.

        Raises:
            Problem: The workers cannot answer.
        """
        asked = [Asked(text, fmt) for text, fmt in structures]
        answers: list[Answer] = []
        for piece in bodies.chunks(asked):
            _, rendered = self._pool.wait(
                self._pool.predict(self.card.release_id, piece, quick=True)
            )
            answers += [_answer(result) for result in json.loads(b"[" + rendered + b"]")]
        return answers


def _answer(result: dict[str, Any]) -> Answer:
    if "error" in result:
        return InvalidStructure(**result["error"])
    return {task: _estimate(said) for task, said in result["predictions"].items()}


def _estimate(said: dict[str, Any]) -> Estimate:
    # JSON has lists where an estimate has tuples.
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in said.items()
    }
    return Estimate(**fields)
