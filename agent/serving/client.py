"""The smallest client of a predict endpoint, for `onggi predict`; no proxy, no dependency."""

import http.client
import json
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from agent.errors import Refused, Stop, TryLater
from agent.records import Json

_TIMEOUT_S = 120.0
_OK = 200
_BUSY = frozenset({429, 502, 503, 504})
_NOT_LET_IN = frozenset({401, 403})


def predict(
    base_url: str, smiles: Sequence[str], *, token: str = "", ca_file: Path | None = None
) -> dict[str, Json]:
    """Asks an endpoint for predictions.

    Args:
        base_url: Where it listens, e.g. `http://127.0.0.1:8080`.
        smiles: The structures.
        token: What it knows the caller by; empty where access is not checked.
        ca_file: Certificates (PEM) to trust instead of the system's.

    Returns:
        The answer: `release`, `version` and, in order, `results`.

    Raises:
        Stop: The address is none, its certificate is not trusted, or the token does not count.
        TryLater: Nothing answers there, or no release is loaded yet.
        Refused: `refused_request` or `not_an_endpoint`.
    """
    url = urlsplit(base_url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise Stop(f"{base_url} is no address; give one like http://127.0.0.1:8080.")
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection = _connection(url, ca_file)
        body = json.dumps({"smiles": list(smiles)}).encode()
        status, content = _post(connection, f"{url.path.rstrip('/')}/v1/predict", body, headers)
    except ssl.SSLCertVerificationError as error:
        raise Stop(
            f"The certificate of {base_url} is not trusted ({error.verify_message}); name your "
            "authority's with --ca-file."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise TryLater(
            f"Nothing answers at {base_url}; start it with `onggi serve`, or check the address."
        ) from error
    answer = _object(base_url, content)
    if status == _OK:
        return answer
    detail = str(answer.get("detail", f"The endpoint answered {status}."))
    if status in _BUSY:
        raise TryLater(detail)
    if status in _NOT_LET_IN:
        raise Stop(detail)
    raise Refused("refused_request", detail)


def _connection(url: SplitResult, ca_file: Path | None) -> http.client.HTTPConnection:
    host, port = url.hostname or "", _port(url)
    if url.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise Stop(f"{ca_file} has no certificates; name a PEM file with --ca-file.") from error
    return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)


def _post(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, bytes]:
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _port(url: SplitResult) -> int | None:
    try:
        return url.port
    except ValueError as error:
        raise Stop("The address has no valid port; give one like http://127.0.0.1:8080.") from error


def _object(base_url: str, content: bytes) -> dict[str, Json]:
    try:
        answer: Json = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Refused("not_an_endpoint", f"What answers at {base_url} is no predict endpoint.")
    return answer
