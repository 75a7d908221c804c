"""What predict asks its workers about the site's own compounds."""

from collections.abc import Mapping
from typing import Protocol


class Asks(Protocol):
    """Who answers: `Pool`."""

    async def ask(self, head: Mapping[str, object], piece: bytes) -> bytes:
        """As `Pool.ask`."""


class Questions:
    """Puts the questions.

    Args:
        pool: Who answers.
    """

    def __init__(self, pool: Asks) -> None:
        self._pool = pool

    async def neighbours(
        self, reference: str, piece: bytes, endpoint: str | None, most: int
    ) -> bytes:
        """Finds the site's compounds that are most similar to one structure.

        Args:
            reference: Where they are.
            piece: One structure, as `bodies.chunks` made it.
            endpoint: Only those measured for it, or None for all.
            most: How many.

        Returns:
            JSON: `smiles` as the structure was read, and `neighbours`.

        Raises:
            Problem: 422 `bad_structure`, or as of `Pool.predict`.
            Refused: `no_reference` or `unknown_endpoint`.
        """
        head = {"do": "neighbours", "reference": reference, "endpoint": endpoint, "most": most}
        return await self._pool.ask(head, piece)

    async def survey(self, release: str, of: str, reference: str = "") -> bytes:
        """Tells how a release's predictions for a set of compounds are spread.

        Args:
            release: Which release.
            of: `approved_drugs` or `own_compounds`.
            reference: Where the site's own are.

        Returns:
            JSON, as of `survey.percentiles`.

        Raises:
            Problem: As of `Pool.predict`.
            Refused: `no_reference`, or as of `Predictor.load`.
        """
        head = {"do": "survey", "release": release, "of": of, "reference": reference}
        return await self._pool.ask(head, b"")
