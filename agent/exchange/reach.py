"""Whether the aggregator can be reached from here, for `onggi doctor`.

The request has no body and no signature, and is the one that the transport log does not have: a
running courier holds that log.
"""

import socket
from contextlib import closing
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.utils import get_environ_proxies, select_proxy

from agent.errors import Refused, TryLater
from agent.exchange.session import LOOPBACK, check_url

_TIMEOUT_S = 15.0


def first_host(url: str) -> str:
    """Returns the host that must be resolved here: the proxy's where there is one."""
    host = check_url(url).hostname or ""
    if host in LOOPBACK:
        return host
    proxy = select_proxy(url, get_environ_proxies(url))
    return (urlsplit(proxy).hostname if proxy else None) or host


def resolves(host: str) -> int:
    """Returns how many addresses a name has here.

    Raises:
        TryLater: None.
    """
    try:
        return len({found[4][0] for found in socket.getaddrinfo(host, None)})
    except OSError as error:
        raise TryLater(f"The name {host} is not known here ({error.strerror}).") from error


def server_time(url: str, certificates: Path | None) -> datetime:
    """Asks for the aggregator's clock, through the proxy and by its certificates.

    Args:
        url: The aggregator's.
        certificates: By which its TLS is checked.

    Raises:
        TryLater: It, or the proxy, does not answer.
        Refused: `no_date`: what answered is no aggregator.
        Stop: The URL cannot be used.
    """
    parts = check_url(url)
    with requests.Session() as session:
        session.trust_env = parts.hostname not in LOOPBACK
        try:
            answer = session.get(
                f"{parts.scheme}://{parts.netloc}/healthz",
                verify=str(certificates) if certificates else True,
                timeout=_TIMEOUT_S,
                allow_redirects=False,
                stream=True,
            )
        except (requests.RequestException, OSError) as error:
            raise TryLater(f"{parts.netloc} does not answer ({type(error).__name__}).") from error
        with closing(answer):
            try:
                return parsedate_to_datetime(answer.headers["Date"])
            except (KeyError, ValueError) as error:
                raise Refused("no_date", f"{parts.netloc} answers without a date.") from error
