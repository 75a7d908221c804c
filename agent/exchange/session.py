"""One authenticated connection to the aggregator; the only place that knows `requests`.

Nothing of `requests` gets out: its exceptions become sentences, its answers `Reply` objects.
"""

import secrets
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import SplitResult, urlencode, urlsplit

import requests
from requests.auth import AuthBase

from agent.audit.transport import Totals
from agent.clock import Clock, to_text
from agent.errors import Stop
from agent.exchange.answers import BROKEN, Answer, Reply, away, raise_for
from agent.exchange.transport_log import TransportLog, Trip
from agent.files import sha256_bytes
from agent.wire import strict_json
from agent.wire.request import (
    NONCE,
    NONCE_BYTES,
    SIGNATURE,
    SILO,
    TIME,
    request_message,
)
from agent.wire.signed import Signer

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds: for a connection, and for the next bytes of an answer."""

    connect_s: float = 10.0
    read_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Peer:
    """The aggregator as the enrolment pinned it.

    Attributes:
        url: E.g. `https://aggregator.example:8443`.
        ca_file: The pinned certificate; None only for plain HTTP on loopback.
    """

    url: str
    ca_file: Path | None


class _Signed(AuthBase):
    """Signs what is really sent; as the session's auth it also keeps netrc passwords at home."""

    def __init__(self, silo: str, signer: Signer, clock: Clock) -> None:
        self._silo = silo
        self._signer = signer
        self._clock = clock

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        body = prepared.body if isinstance(prepared.body, bytes) else b""
        time, nonce = to_text(self._clock()), secrets.token_hex(NONCE_BYTES)
        method, target = prepared.method or "", prepared.path_url
        message = request_message(method, target, self._silo, time, nonce, sha256_bytes(body))
        prepared.headers[SILO] = self._silo
        prepared.headers[TIME] = time
        prepared.headers[NONCE] = nonce
        prepared.headers[SIGNATURE] = self._signer.sign(message).hex()
        return prepared


class Link:
    """Signed requests to one aggregator, each of them in the transport log.

    One thread uses a link; two threads use two, which may share the log.

    Args:
        peer: The aggregator.
        silo: The silo's name.
        signer: The silo's courier key.
        transport_log: Where each request is accounted for.
        clock: The time, read for every request: the aggregator refuses a skew over 300 s, and
            an upload may take longer than that.
        timeouts: See `Timeouts`.

    Raises:
        Stop: The URL or the certificate cannot be used.
    """

    def __init__(
        self,
        peer: Peer,
        silo: str,
        signer: Signer,
        *,
        transport_log: TransportLog,
        clock: Clock,
        timeouts: Timeouts | None = None,
    ) -> None:
        parts = check_url(peer.url)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._verify = _checked_ca(parts, peer.ca_file)
        self._log = transport_log
        self._clock = clock
        self._timeouts = timeouts or Timeouts()
        self._last_contact: datetime | None = None
        self._session = requests.Session()
        self._session.auth = _Signed(silo, signer, clock)
        self._session.headers["User-Agent"] = "onggi-courier"
        self._session.headers["Accept-Encoding"] = "identity"
        # HTTPS_PROXY and NO_PROXY are honoured, but no proxy leads to this very host.
        self._session.trust_env = parts.hostname not in LOOPBACK

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    @property
    def last_contact(self) -> datetime | None:
        """When the last answer came, whatever it was; None before the first."""
        return self._last_contact

    @property
    def totals(self) -> Totals:
        """What was sent and received so far, over all links that share the log."""
        return self._log.totals

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        query: Mapping[str, int] | None = None,
        limit: int = strict_json.MAX_BYTES,
        read_s: float | None = None,
    ) -> Answer:
        """Sends one request and reads the whole answer.

        Raises:
            TryLater: No answer, or the aggregator is away or busy.
            Refused: `too_large`, or the code of the aggregator's problem document.
        """
        with self.open(method, path, body, query=query, read_s=read_s) as reply:
            return Answer(reply.status, reply.headers, reply.read(limit))

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        query: Mapping[str, int] | None = None,
        headers: Mapping[str, str] | None = None,
        read_s: float | None = None,
    ) -> Iterator[Reply]:
        """Sends one request and gives the answer while its body arrives.

        An answer that means "not now" or "not you" is raised; 404, 409, 410 and 416 are given to
        the caller, and so is a signed refusal.

        Args:
            method: In capitals.
            path: From the root, without a query.
            body: At most one piece of an upload, so that it is signed as a whole.
            query: Numbers only, so that the transport log shows no secret.
            headers: Further headers.
            read_s: Longer patience for a long poll.

        Raises:
            TryLater: No answer, or the aggregator is away or busy.
            Refused: The code of the aggregator's problem document.
            Stop: The transport log is closed.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        if body:
            self._log.begin(Trip(method, target, 0, len(body), 0), self._clock())
        else:
            self._log.settle()
        status = 0
        reply: Reply | None = None
        try:
            with closing(self._send(method, target, body, headers or {}, read_s)) as response:
                status = response.status_code
                self._last_contact = self._clock()
                reply = Reply(status, _lower(response.headers), response)
                raise_for(reply)
                yield reply
        finally:
            down = reply.bytes_down if reply is not None else 0
            self._log.record(Trip(method, target, status, len(body), down), self._clock())

    def _send(
        self,
        method: str,
        target: str,
        body: bytes,
        headers: Mapping[str, str],
        read_s: float | None,
    ) -> requests.Response:
        patience = (self._timeouts.connect_s, read_s or self._timeouts.read_s)
        try:
            return self._session.request(
                method,
                self._base + target,
                data=body or None,
                headers=dict(headers),
                timeout=patience,
                allow_redirects=False,  # a signature is for this aggregator only
                stream=True,
                verify=self._verify,  # for each request: else REQUESTS_CA_BUNDLE would win
            )
        except BROKEN as error:
            raise away(error) from error


def check_url(base_url: str) -> SplitResult:
    """Reads an aggregator's URL.

    Raises:
        Stop: It is no URL of one host, or plain HTTP to another host than this one.
    """
    try:
        parts = urlsplit(base_url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port
    except ValueError as error:
        raise Stop(
            f"{base_url!r} is no URL; write e.g. https://aggregator.example:8443."
        ) from error
    if not known or parts.username or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise Stop(
            f"{base_url!r} must be https, a host and a port, e.g. https://aggregator.example:8443."
        )
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise Stop(f"{base_url!r} is plain HTTP, which is for loopback only; use https.")
    return parts


def _checked_ca(parts: SplitResult, ca_file: Path | None) -> str | bool:
    if parts.scheme == "http":
        return True
    if ca_file is None:
        raise Stop("The aggregator's certificate is not pinned; enrol again with a new token.")
    try:
        ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:  # ssl.SSLError is one
        raise Stop(f"{ca_file} is missing or holds no certificate; enrol again.") from error
    return str(ca_file)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
