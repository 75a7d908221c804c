"""What stands between the network and the routes: TLS, headers, access, the audit log."""

import threading
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from agent import clock
from agent.config import ServeSection
from agent.serving.access import Access, CheckedAccess
from agent.serving.audit import FOLDER, Audited, AuditLog
from agent.serving.headers import SecurityHeaders
from agent.serving.tls import Certificate

_LOOK_S = 0.5


class Door:
    """All four, as the configuration wants them.

    Args:
        section: Where predict listens, and whom it answers.
        state: Predict's own state folder.

    Raises:
        Stop: Access, certificate or audit log cannot work; the sentence says what to do.
    """

    def __init__(self, section: ServeSection, state: Path) -> None:
        self._access = Access(section, state)
        self._certificate = (
            Certificate(section.certificate, section.key)
            if section.certificate is not None and section.key is not None
            else None
        )
        self._lines = AuditLog(state / FOLDER, structures=section.audit_structures)
        self._closed = threading.Event()
        self._keeping = threading.Thread(target=self._keep, name="door", daemon=True)

    def around(self, app: ASGIApp) -> ASGIApp:
        """Returns the app behind the door: nothing of it can be reached otherwise."""
        return SecurityHeaders(CheckedAccess(Audited(app, self._lines), self._access))

    def tls(self) -> dict[str, Any]:
        """Returns uvicorn's settings for TLS; none without a certificate."""
        if self._certificate is None:
            return {}
        context = self._certificate.context
        return {"ssl_context_factory": lambda *_: context}

    def __enter__(self) -> "Door":
        """Looks after certificate and audit log from now on, in a thread of its own."""
        self._keeping.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends that, and makes the audit log durable."""
        self._closed.set()
        self._keeping.join()
        self._lines.close()

    def _keep(self) -> None:
        # Not the main thread, which a new release may hold up for minutes.
        while not clock.rest(self._closed, _LOOK_S):
            if self._certificate is not None:
                self._certificate.renew()
            self._lines.sync()
