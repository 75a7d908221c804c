"""What came back: answers as they are read, and troubles as the errors that they mean."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import requests
import urllib3

from agent.errors import Refused, TryLater
from agent.wire import strict_json
from agent.wire.request import REFUSAL_TYPE

# requests lets some of urllib3's own through.
BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError)
_PIECE_BYTES = 64 << 10
_MAX_PROBLEM_BYTES = 64 << 10
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_BUSY = frozenset({408, 425, 429})
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\uffff]")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read to its end.

    Attributes:
        status: The HTTP status.
        headers: Header names in lower case.
        body: The whole body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type, in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(slots=True)
class Reply:
    """An answer whose body is still on its way; `bytes_down` counts what was read of it."""

    status: int
    headers: Mapping[str, str]
    _response: requests.Response = field(repr=False)
    bytes_down: int = 0

    def pieces(self) -> Iterator[bytes]:
        """Yields the body as it arrives.

        Raises:
            TryLater: The connection broke before the body's end.
        """
        try:
            for piece in self._response.iter_content(_PIECE_BYTES):
                self.bytes_down += len(piece)
                yield piece
        except BROKEN as error:
            raise away(error) from error

    def read(self, limit: int) -> bytes:
        """Reads the whole body.

        Raises:
            TryLater: The connection broke.
            Refused: `too_large`.
        """
        body = bytearray()
        for piece in self.pieces():
            body += piece
            if len(body) > limit:
                raise Refused("too_large", f"The aggregator's answer has over {limit} bytes.")
        return bytes(body)


def away(error: Exception) -> TryLater:
    """Says in a sentence why no answer came, or only half of one."""
    if isinstance(error, requests.exceptions.ProxyError):
        return TryLater("The proxy does not answer; check HTTPS_PROXY and NO_PROXY.")
    if isinstance(error, requests.exceptions.SSLError):
        return TryLater(
            "The aggregator's certificate is not the pinned one; if it was renewed, enrol again."
        )
    if isinstance(error, requests.Timeout):
        return TryLater("The aggregator did not answer in time; it will be asked again.")
    return TryLater("The aggregator cannot be reached; it will be asked again.")


def raise_for(reply: Reply) -> None:
    """Raises what an answer means, unless the caller is to decide that.

    Raises:
        TryLater: The aggregator is busy, or something else answers in its place.
        Refused: The code of the problem document, other than for 404, 409, 410 and 416.
    """
    status = reply.status
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise TryLater("Something between here and the aggregator compresses its answers.")
    if status in _BUSY or status >= 500:
        raise TryLater(f"The aggregator is busy (HTTP {status}); it will be asked again.")
    if 300 <= status < 400:
        raise TryLater(f"Something redirects the aggregator's address (HTTP {status}).")
    if status < 400 or status in {404, 409, 410, 416}:
        return
    if reply.headers.get("content-type", "").startswith(REFUSAL_TYPE):
        return
    raise problem(status, reply.read(_MAX_PROBLEM_BYTES))


def problem(status: int, body: bytes) -> Refused:
    """Turns a problem document (RFC 9457) into the refusal it tells of."""
    code, detail = f"http_{status}", f"The aggregator refuses this request (HTTP {status})."
    try:
        fields = strict_json.loads(body)
    except Refused:
        return Refused(code, detail)
    if isinstance(fields, dict):
        given, reason = fields.get("code"), fields.get("detail") or fields.get("reason")
        if isinstance(given, str) and _CODE.fullmatch(given):
            code = given
        if isinstance(reason, str) and reason:
            detail = _UNPRINTABLE.sub(" ", reason)[:300]
    return Refused(code, detail)
