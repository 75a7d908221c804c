"""Which release answers: follows `releases/active`, one look at a time, and never half-way.

A new release is loaded and warmed beside the old one, then takes its place in one assignment. An
attempt is on disk before it begins, so a release that kills its host is given up after three
starts, and the newest one that ever loaded takes its place.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent import log
from agent.errors import Refused
from agent.records import Structure
from agent.releases.attempts import MAX_ATTEMPTS, Attempts
from agent.releases.folder import active_id, path_of
from agent.serving.answers import Answering

_LOGGER = logging.getLogger(__name__)
_WARM_UP: tuple[tuple[str, Structure], ...] = (
    ("CC(=O)Oc1ccccc1C(=O)O", "smiles"),  # aspirin
    ("CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "smiles"),  # caffeine
)

Load = Callable[[Path], Answering]


@dataclass(frozen=True, slots=True)
class Serving:
    """What predict says of itself.

    Attributes:
        release: The id of the release that answers, or None.
        version: Its version, or None.
        wanted: The id that `releases/active` names, or None.
        problem: A sentence while the two differ; else empty.
    """

    release: str | None
    version: int | None
    wanted: str | None
    problem: str


class Models:
    """Holds the predictor that answers now.

    `step` belongs to one thread; `current` and `serving` may be called from any: each call reads
    one reference, which Python replaces atomically.

    Args:
        releases: The folder of all releases, read only.
        attempts: Predict's own account of loads.
        load: Makes a predictor of a release's folder.
        retry_wait_s: How long a release that failed with an error is left alone.
    """

    def __init__(
        self, releases: Path, attempts: Attempts, load: Load, retry_wait_s: float = 2.0
    ) -> None:
        self._releases = releases
        self._attempts = attempts
        self._load = load
        self._retry_wait_s = retry_wait_s
        self._not_before_s = 0.0
        self._current: Answering | None = None
        self._serving = Serving(None, None, None, "No release is active yet.")

    def current(self) -> Answering | None:
        """Returns the predictor to use for all of one call, or None before the first release."""
        return self._current

    def serving(self) -> Serving:
        """Returns what was found at the last look."""
        return self._serving

    def step(self, now_s: float) -> None:
        """Looks once at what should answer and loads it if it is not loaded.

        Args:
            now_s: Seconds that never step back.

        Raises:
            OSError: The attempt cannot be counted on disk; nothing was loaded.
        """
        wanted = active_id(self._releases)
        if wanted is not None and wanted != self._release():
            self._approach(wanted, now_s)
        self._serving = self._describe(wanted)

    def _approach(self, wanted: str, now_s: float) -> None:
        target: str | None = wanted
        if self._attempts.exhausted(wanted):
            target = self._attempts.fallback(besides=wanted)
            if self._current is not None:
                return  # the last good one answers already
        if target is not None and now_s >= self._not_before_s:
            self._try(target, now_s)

    def _try(self, release_id: str, now_s: float) -> None:
        self._attempts.begin(release_id)
        try:
            predictor = self._load(path_of(self._releases, release_id))
            _warm(predictor)
        except Refused as refused:
            self._give_up_for_now(release_id, refused.reason, now_s)
        # The boundary: whatever a graph does while it loads, the old one goes on answering.
        except Exception as error:
            _LOGGER.warning("load_raised", exc_info=True)
            reason = f"Loading it raised {type(error).__name__}; see the log."
            self._give_up_for_now(release_id, reason, now_s)
        else:
            self._attempts.succeeded(release_id)
            self._current = predictor
            log.event(_LOGGER, "release_loaded", release=release_id)

    def _give_up_for_now(self, release_id: str, reason: str, now_s: float) -> None:
        self._attempts.failed(release_id, reason)
        self._not_before_s = now_s + self._retry_wait_s
        log.event(_LOGGER, "release_failed", release=release_id, reason=reason)

    def _release(self) -> str | None:
        return self._current.card.release_id if self._current is not None else None

    def _describe(self, wanted: str | None) -> Serving:
        release = self._release()
        version = self._current.card.version if self._current is not None else None
        return Serving(release, version, wanted, self._problem(wanted, release))

    def _problem(self, wanted: str | None, release: str | None) -> str:
        if wanted is None:
            return "No release is active yet." if release is None else ""
        if wanted == release:
            return ""
        account = self._attempts.account(wanted)
        reason = account.reason or "The process ended while it loaded."
        answers = f"{release} answers instead" if release else "nothing answers"
        if account.begun >= MAX_ATTEMPTS:
            return f"{wanted} failed to load {account.begun} times and {answers}. {reason}"
        return f"{wanted} is not loaded yet and {answers}. {reason}"


def _warm(predictor: Answering) -> None:
    for answer in predictor.predict(_WARM_UP):
        if not isinstance(answer, dict):
            raise Refused("bad_answers", f"Its warm-up gave no answer: {answer.cause}")
