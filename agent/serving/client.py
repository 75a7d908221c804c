"""The smallest client of a predict endpoint, for `onggi predict`; no proxy, no dependency."""

import http.client
import json
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from agent.errors import Refused, Stop, TryLater
from agent.records import Json

_TIMEOUT_S = 120.0
_OK = 200
_BUSY = frozenset({502, 503, 504})


def predict(base_url: str, smiles: Sequence[str]) -> dict[str, Json]:
    """Asks an endpoint for predictions.

    Args:
        base_url: Where it listens, e.g. `http://127.0.0.1:8080`.
        smiles: The structures.

    Returns:
        The answer: `release`, `version` and, in order, `results`.

    Raises:
        Stop: The address is none.
        TryLater: Nothing answers there, or no release is loaded yet.
        Refused: `refused_request` or `not_an_endpoint`.
    """
    url = urlsplit(base_url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise Stop(f"{base_url} is no address; give one like http://127.0.0.1:8080.")
    try:
        status, content = _post(url, json.dumps({"smiles": list(smiles)}).encode())
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
    raise Refused("refused_request", detail)


def _post(url: SplitResult, body: bytes) -> tuple[int, bytes]:
    make = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = make(url.hostname or "", _port(url), timeout=_TIMEOUT_S)
    try:
        path = f"{url.path.rstrip('/')}/v1/predict"
        connection.request("POST", path, body, {"Content-Type": "application/json"})
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
