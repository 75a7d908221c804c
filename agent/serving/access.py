"""Who may ask: decided before a byte of a body is read.

Plain ASGI, around the whole app, so that no route can be forgotten: a path that is not in the short
list of open ones needs a token wherever access is checked.
"""

import ipaddress
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from agent import clock, log
from agent.errors import Stop
from agent.serve_settings import OidcSection, ServeSection
from agent.serving import tokens
from agent.serving.callers import LOCAL, STATE, Caller
from agent.serving.problems import Problem
from agent.serving.rates import Rates
from agent.serving.tokens import Known
from agent.serving.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.serving.oidc import Provider

_LOGGER = logging.getLogger(__name__)
ACCESS = "access"  # in a request's state: `token` where one was shown, else `open`
ANONYMOUS = Caller("anonymous", frozenset({"predict"}))
_OPEN = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz"})
_OPEN_BELOW = ("/static/", "/docs/")
_ANY_SCOPE = frozenset({"/metrics", "/v1/me"})
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="onggi"'}
_LOG_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says of itself before its body.

    Attributes:
        path: As the routes see it.
        hosts, origins, authorizations: Each such header.
        passed_on: Whether a proxy passed it on.
        address: Where the connection comes from.
    """

    path: str
    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    authorizations: tuple[bytes, ...]
    passed_on: bool
    address: str


class Access:
    """Decides who a caller is.

    Args:
        section: Where predict listens, and whom it answers.
        state: Predict's own state folder, with the tokens.

    Raises:
        Stop: Nobody could be told from anybody, or the tokens or keys cannot be read.
    """

    def __init__(self, section: ServeSection, state: Path) -> None:
        self._loopback = is_loopback(section.host)
        self._open = section.open
        self._rate = section.rate_per_minute
        self._names = self._allowed_names(section)
        self._tokens = Watched(state / tokens.FILE, tokens.parse, Known())
        self._provider = _provider(section.oidc)
        self._rates = Rates()
        # Once checked, checked until the next start: a file that is lost opens no door.
        self._checked = not self._loopback or self._provider is not None
        if tokens.read(state):
            self._checked = True
        elif self._checked and self._provider is None and not self._open:
            raise Stop(
                f"Predict would answer everybody who reaches {section.host}; make a token with "
                "`onggi token add NAME --scope predict`, or name an identity provider in "
                "[serve.oidc], or say `open = true` in [serve], or listen on 127.0.0.1."
            )

    def _allowed_names(self, section: ServeSection) -> frozenset[str] | None:
        """Returns the names that a Host header may have, or None for any."""
        if not self._loopback and not section.names:
            return None
        host = f"[{section.host}]" if ":" in section.host else section.host
        return _LOOPBACK_NAMES | {host.lower(), *section.names}

    def admit(self, asked: Asked) -> tuple[Caller, bool]:
        """Returns who asks, and whether a token said so.

        Raises:
            Problem: 401 `token_missing`, `token_unknown`, `token_expired`, `token_revoked`; 403
                `not_allowed`, `other_origin`; 421 `other_host`; 429 `too_many_requests`; 503
                `access_unreadable`.
        """
        self._check_names(asked)
        known = self._known()
        if asked.path in _OPEN or asked.path.startswith(_OPEN_BELOW):
            return ANONYMOUS, False
        caller, rate, shown = self._caller(asked, known)
        if "predict" not in caller.scopes and asked.path not in _ANY_SCOPE:
            sentence = "This token may not predict: it lacks the scope; ask who issued it."
            raise Problem(403, "not_allowed", sentence)
        self._slow_down(caller.name if shown else f"@{asked.address}", rate or self._rate)
        return caller, shown

    def _check_names(self, asked: Asked) -> None:
        # DNS rebinding: a page of elsewhere whose name now resolves to this host would be read by
        # its own script; the browser says the page's name as the host.
        if self._names is not None:
            named = {_without_port(host.lower()) for host in asked.hosts}
            if len(named) != 1 or not named <= self._names:
                raise Problem(
                    421,
                    "other_host",
                    "Predict is not called by that name; use one of its own, or let IT add the "
                    "name to serve.names.",
                )
        # A page of elsewhere may send some requests without being asked, though it reads no answer.
        for origin in asked.origins:
            place = origin.lower().partition("://")[2]
            own = {host.lower() for host in asked.hosts}
            if place not in own and _without_port(place) not in (self._names or ()):
                sentence = "Pages of other places may not ask predict; open its own page."
                raise Problem(403, "other_origin", sentence)

    def _known(self) -> Known:
        try:
            known = self._tokens.current()
        except (OSError, ValueError):
            raise Problem(
                503,
                "access_unreadable",
                "The list of tokens cannot be read, so nobody is let in; tell IT.",
                {"Retry-After": "60"},
            ) from None
        if known.tokens:
            self._checked = True
        return known

    def _caller(self, asked: Asked, known: Known) -> tuple[Caller, int, bool]:
        """Returns who asks, at what rate a minute, and whether a token said so."""
        if asked.authorizations and self._checked:
            caller, rate = self._bearer(asked.authorizations, known)
            return caller, rate, True
        # A proxy on this host would hand its own nearness on to whoever reaches it.
        if not self._checked and not asked.passed_on:
            return LOCAL, 0, False
        if self._open:
            return ANONYMOUS, 0, False
        raise Problem(
            401,
            "token_missing",
            "Predict answers who shows a token: send `Authorization: Bearer TOKEN`; IT makes one "
            "with `onggi token add`.",
        )

    def _bearer(self, authorizations: tuple[bytes, ...], known: Known) -> tuple[Caller, int]:
        scheme, _, secret = authorizations[0].partition(b" ")
        secret = secret.strip()
        if len(authorizations) > 1 or scheme.lower() != b"bearer" or not secret:
            sentence = "Send one header `Authorization: Bearer TOKEN`, and no other scheme."
            raise _refused("token_unknown", sentence)
        now = clock.now()
        if self._provider is not None and secret.count(b".") == 2:
            return self._provider.caller(secret, now), 0
        token = known.find(secret)
        if token is None:
            raise _refused("token_unknown", "This token is not known here; ask IT for a new one.")
        state = token.state(now)
        if state == "expired":
            raise _refused("token_expired", "This token has expired; ask IT for a new one.")
        if state == "revoked":
            raise _refused("token_revoked", "This token was revoked; ask IT for a new one.")
        return Caller(token.name, frozenset(token.scopes)), token.rate_per_minute

    def _slow_down(self, name: str, rate: int) -> None:
        wait_s = self._rates.take(name, rate, clock.monotonic_s())
        if wait_s:
            raise Problem(
                429,
                "too_many_requests",
                f"More than {rate} requests a minute; wait, and send many structures at once.",
                {"Retry-After": str(math.ceil(wait_s))},
            )


class CheckedAccess:
    """Lets in whom `Access` admits, and leaves the caller in the request's state.

    Args:
        app: What answers.
        access: Who decides.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._refusals: dict[str, int] = {}
        self._told_s = -_LOG_EVERY_S

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answers one request, or refuses it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            caller, shown = self._access.admit(_asked(scope))
        except Problem as problem:
            self._tell(problem.code)
            if problem.status == 401:
                problem.headers |= _CHALLENGE
            await problem.response()(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state[STATE] = caller
        state[ACCESS] = "token" if shown else "open"
        await self._app(scope, receive, send)

    def _tell(self, code: str) -> None:
        # A flood of refusals fills no journal.
        self._refusals[code] = self._refusals.get(code, 0) + 1
        now_s = clock.monotonic_s()
        if now_s - self._told_s >= _LOG_EVERY_S:
            self._told_s = now_s
            log.trouble(_LOGGER, "access_refused", **self._refusals)
            self._refusals.clear()


def _provider(section: OidcSection) -> "Provider | None":
    if not section.issuer or section.jwks is None:
        return None
    from agent.serving.oidc import Provider  # 12 MB of cryptography that few sites need

    return Provider(section, section.jwks)


def is_loopback(host: str) -> bool:
    """Tells whether an address reaches from this host alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _asked(scope: AsgiScope) -> Asked:
    found: dict[bytes, list[bytes]] = {}
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    for name, value in headers:
        found.setdefault(name, []).append(value)
    client = scope.get("client")
    return Asked(
        path=scope["path"],
        hosts=tuple(one.decode("latin-1") for one in found.get(b"host", ())),
        origins=tuple(one.decode("latin-1") for one in found.get(b"origin", ())),
        authorizations=tuple(found.get(b"authorization", ())),
        passed_on=b"x-forwarded-for" in found or b"forwarded" in found,
        address=client[0] if client else "",
    )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _refused(code: str, sentence: str) -> Problem:
    return Problem(401, code, sentence)
