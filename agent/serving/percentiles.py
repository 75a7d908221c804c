"""Percentiles of the release that answers, worked out once a release and kept on disk.

A worker for large calls predicts a few thousand compounds, which takes it some seconds; single
molecules do not notice. What was worked out is named by the release and the reference, so that a
restart finds it again.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import __version__, log
from agent.errors import Refused
from agent.files import write_atomic
from agent.serving.problems import Problem
from agent.serving.questions import Questions
from agent.serving.shown import Shown
from agent.serving.surveyed import APPROVED_DRUGS, OWN_COMPOUNDS
from agent.serving.swap import Models

FILE = "percentiles.json"
_LOGGER = logging.getLogger(__name__)
_LOOK_S = 1.0
_AGAIN_S = 30.0  # after a failure


@dataclass(frozen=True, slots=True)
class Found:
    """Percentiles that were worked out.

    Attributes:
        release, version: Of the model whose predictions they are.
        reference: Where the site's own compounds were; empty where it shows none.
        sets: As `/v1/percentiles` has them.
    """

    release: str
    version: int
    reference: str
    sets: list[dict[str, Any]]

    @property
    def ranks_own(self) -> bool:
        """Whether the site's own compounds are among the sets."""
        return any(one["name"] == OWN_COMPOUNDS for one in self.sets)


class Percentiles:
    """Works them out in the background and keeps the newest.

    Args:
        models: Which release answers.
        questions: Who predicts.
        shown: Where the site's own compounds are.
        state: Predict's own folder.
        look_s: How often to look whether the release or the reference changed.
    """

    def __init__(
        self,
        models: Models,
        questions: Questions,
        shown: Shown,
        state: Path,
        look_s: float = _LOOK_S,
    ) -> None:
        self.shown = shown
        self._models = models
        self._questions = questions
        self._path = state / FILE
        self._look_s = look_s
        self._found = self._read()

    def found(self) -> Found | None:
        """Returns the newest, which may be of the release before, or None."""
        return self._found

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keeps them up to date, as a task of this event loop."""
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep(self) -> None:
        while True:
            pause_s = self._look_s
            try:
                await self.step()
            except (Problem, Refused) as error:
                log.trouble(_LOGGER, "percentiles_not_made", code=error.code)
                pause_s = max(_AGAIN_S, pause_s)
            await asyncio.sleep(pause_s)

    async def step(self) -> None:
        """Looks once whether something changed, and works them out if it did.

        Raises:
            Problem: The workers cannot answer.
            Refused: The release cannot be loaded.
        """
        release = self._models.current()
        if release is None:
            return
        card, reference = release.card, self.shown.current()
        known = self._found
        if known is not None and (known.release, known.reference) == (card.release_id, reference):
            return
        sets = [await self._set(card.release_id, APPROVED_DRUGS, "")]
        if reference:
            with contextlib.suppress(Refused):  # it shows fingerprints alone, or is damaged
                sets.append(await self._set(card.release_id, OWN_COMPOUNDS, reference))
        self._found = Found(card.release_id, card.version, reference, sets)
        self._write(self._found)
        log.event(_LOGGER, "percentiles_made", release=card.release_id, sets=len(sets))

    async def _set(self, release: str, of: str, reference: str) -> dict[str, Any]:
        return {"name": of, **json.loads(await self._questions.survey(release, of, reference))}

    def _write(self, found: Found) -> None:
        document = {
            "program": __version__,
            "release": found.release,
            "version": found.version,
            "reference": found.reference,
            "sets": found.sets,
        }
        try:
            write_atomic(self._path, json.dumps(document).encode())
        except OSError as error:  # they are worked out again after the next start
            log.trouble(_LOGGER, "percentiles_not_kept", errno=error.errno)

    def _read(self) -> Found | None:
        try:
            document = json.loads(self._path.read_bytes())
            names = ("release", "version", "reference", "sets")
            found = Found(**{name: document[name] for name in names})
            return found if document["program"] == __version__ else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
