"""Which release answers: follows `releases/active`, one look at a time, and never half-way.

A new release is first loaded by a process of its own, then loaded and warmed beside the old one,
and takes its place in one assignment. An attempt is on disk before it begins, so a release that
kills its host is given up after three starts, and the newest one that ever loaded takes its place.

For an hour the old one stays at hand: a request that the new release fails and the old one answers
is answered by the old one, and three such requests end the new one's trial.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent import log
from agent.errors import Refused, TryLater
from agent.releases.attempts import MAX_ATTEMPTS, Attempts
from agent.releases.folder import active_id, path_of
from agent.serving.answers import Answering
from agent.serving.rehearsal import warm

_LOGGER = logging.getLogger(__name__)
TRIAL_S = 3600.0
MAX_STRIKES = 3

Load = Callable[[Path], Answering]
Rehearse = Callable[[Path], None]


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

    `step` belongs to one thread; the other calls may come from any: each reads one reference, which
    Python replaces atomically, or holds a lock.

    Args:
        releases: The folder of all releases, read only.
        attempts: Predict's own account of loads.
        load: Makes a predictor of a release's folder.
        retry_wait_s: How long a release that failed with an error is left alone.
        rehearse: Tries a release that never loaded in another process; None leaves that out.
    """

    def __init__(
        self,
        releases: Path,
        attempts: Attempts,
        load: Load,
        retry_wait_s: float = 2.0,
        rehearse: Rehearse | None = None,
    ) -> None:
        self._releases = releases
        self._attempts = attempts
        self._load = load
        self._retry_wait_s = retry_wait_s
        self._rehearse = rehearse
        self._stand_in: tuple[Answering, Answering] | None = None  # the new one, the old one
        self._trial_ends_s = 0.0
        self._strikes = 0
        self._settled = False
        self._lock = threading.Lock()
        self._not_before_s = 0.0
        self._current: Answering | None = None
        self._serving = Serving(None, None, None, "No release is active yet.")

    def current(self) -> Answering | None:
        """Returns the predictor to use for all of one call, or None before the first release."""
        return self._current

    def serving(self) -> Serving:
        """Returns what was found at the last look."""
        return self._serving

    def stand_in(self, predictor: Answering) -> Answering | None:
        """Returns the release that answered before this one, while this one is on trial."""
        pair = self._stand_in
        return pair[1] if pair is not None and pair[0] is predictor else None

    def strike(self, predictor: Answering) -> None:
        """Notes that this release failed a request which the one before it answered."""
        with self._lock:
            if self.stand_in(predictor) is not None:
                self._strikes += 1

    def step(self, now_s: float) -> None:
        """Looks once at what should answer and loads it if it is not loaded.

        Args:
            now_s: Seconds that never step back.

        Raises:
            OSError: The attempt cannot be counted on disk; nothing was loaded.
            TryLater: A rehearsal was called off, since this process is to end.
        """
        if not self._settled:
            self._attempts.settle()
            self._settled = True
        self._judge(now_s)
        wanted = active_id(self._releases)
        if wanted is not None and wanted != self._release():
            self._approach(wanted, now_s)
        self._serving = self._describe(wanted)

    def _judge(self, now_s: float) -> None:
        if self._stand_in is None:
            return
        failing, old = self._stand_in
        if self._strikes >= MAX_STRIKES:
            name = failing.card.release_id
            reason = f"It failed {MAX_STRIKES} requests that {old.card.release_id} answers."
            self._attempts.give_up(name, reason)  # on disk first: it must not come back
            self._current, self._stand_in = old, None
            log.event(_LOGGER, "release_given_up", release=name, strikes=MAX_STRIKES)
        elif now_s >= self._trial_ends_s:
            self._stand_in = None  # proven; the old one's memory is given back

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
        folder = path_of(self._releases, release_id)
        try:
            if self._rehearse is not None and not self._attempts.account(release_id).loaded:
                self._rehearse(folder)
            predictor = self._load(folder)
            warm(predictor)
        except TryLater:
            self._attempts.called_off(release_id)
            raise
        except Refused as refused:
            self._give_up_for_now(release_id, refused.reason, now_s)
        # The boundary: whatever a graph does while it loads, the old one goes on answering.
        except Exception as error:
            _LOGGER.warning("load_raised", exc_info=True)
            reason = f"Loading it raised {type(error).__name__}; see the log."
            self._give_up_for_now(release_id, reason, now_s)
        else:
            self._attempts.succeeded(release_id)
            self._take(predictor, now_s)
            log.event(_LOGGER, "release_loaded", release=release_id)

    def _take(self, predictor: Answering, now_s: float) -> None:
        old = self._current
        with self._lock:
            self._strikes = 0
            self._stand_in = (predictor, old) if old is not None else None
            self._trial_ends_s = now_s + TRIAL_S
        self._current = predictor

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
        if account.unfit:
            return f"{wanted} was given up and {answers}. {reason}"
        if account.begun >= MAX_ATTEMPTS:
            return f"{wanted} failed to load {account.begun} times and {answers}. {reason}"
        return f"{wanted} is not loaded yet and {answers}. {reason}"
