"""Asks an endpoint again and again, as impatient chemists would, and counts what comes back."""

import threading
from dataclasses import dataclass
from typing import Any

from agent.demo.outcome import EXAMPLE
from agent.demo.parties import fetch
from agent.demo.silos import Silo

_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Counts:
    """How often the endpoint was asked, and how often it gave a prediction."""

    asked: int = 0
    answered: int = 0

    def since(self, before: "Counts") -> "Counts":
        """Returns what was added since an earlier count."""
        return Counts(self.asked - before.asked, self.answered - before.answered)


class Asker:
    """One thread that asks one silo's endpoint until it is ended.

    Args:
        silo: Whose endpoint.
    """

    def __init__(self, silo: Silo) -> None:
        self._url = f"http://127.0.0.1:{silo.port}/v1/predict"
        self._counts = Counts()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, name=f"ask-{silo.name}", daemon=True)

    def __enter__(self) -> "Asker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def counts(self) -> Counts:
        """Returns the counts so far; both belong to the same moment."""
        return self._counts

    def _ask(self) -> None:
        while not self._stop.wait(_PAUSE_S):
            good = is_prediction(fetch(self._url, {"smiles": EXAMPLE}))
            asked, answered = self._counts.asked + 1, self._counts.answered + good
            self._counts = Counts(asked, answered)  # one assignment, so never half of it


def is_prediction(answer: dict[str, Any] | None) -> bool:
    """Tells whether an endpoint's answer is a number for every endpoint of its model."""
    try:
        return bool(answer and answer["results"][0]["predictions"])
    except (KeyError, IndexError, TypeError):
        return False
