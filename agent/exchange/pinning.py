"""Fetches the aggregator's certificate and checks its key against the one the token names."""

import base64
import hashlib
import hmac
import http.client
import ssl
from collections.abc import Callable
from urllib.parse import SplitResult, unquote, urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from requests.utils import get_environ_proxies, select_proxy

from agent.errors import Refused, Stop, TryLater
from agent.exchange.session import LOOPBACK, check_url

_TIMEOUT_S = 20.0


def pinned_certificate(url: str, key_sha256: str) -> bytes:
    """Fetches the certificate that a server shows, and believes it only for its key.

    Args:
        url: The aggregator's `https` URL.
        key_sha256: SHA-256 of the SubjectPublicKeyInfo (DER), in hexadecimal.

    Returns:
        The certificate as PEM.

    Raises:
        Refused: `wrong_certificate`: the key is another one; someone may be in between.
        TryLater: The server or the proxy does not answer.
        Stop: The URL cannot be used.
    """
    return _believed(x509.load_der_x509_certificate, _shown(check_url(url)), key_sha256)


def carried_certificate(pem: bytes, key_sha256: str) -> bytes:
    """Believes a certificate that came in a file, only for its key.

    Raises:
        Refused: `wrong_certificate`.
    """
    return _believed(x509.load_pem_x509_certificate, pem, key_sha256)


def _believed(load: Callable[[bytes], x509.Certificate], content: bytes, key_sha256: str) -> bytes:
    try:
        certificate = load(content)
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Refused("wrong_certificate", "The aggregator's certificate is unreadable.") from error
    if not hmac.compare_digest(hashlib.sha256(key).hexdigest(), key_sha256):
        raise Refused(
            "wrong_certificate",
            "The aggregator's certificate has another key than the token names. Either something "
            "stands in between (ask IT whether a proxy inspects TLS), or the token is not for "
            "this aggregator.",
        )
    return certificate.public_bytes(Encoding.PEM)


def _shown(parts: SplitResult) -> bytes:
    # No authority and no name is checked, because the very key is, in the only caller.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = _connection(parts, context)
    try:
        connection.connect()
        secured = connection.sock
        der = secured.getpeercert(binary_form=True) if isinstance(secured, ssl.SSLSocket) else None
    except (OSError, http.client.HTTPException) as error:
        raise TryLater(
            f"The aggregator at {parts.netloc} cannot be reached; check the address, the firewall "
            "and HTTPS_PROXY."
        ) from error
    finally:
        connection.close()
    return der or b""


def _connection(parts: SplitResult, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    host, port = parts.hostname or "", parts.port or 443
    proxy = None if host in LOOPBACK else _proxy(parts.geturl())
    if proxy is None:
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)
    connection = http.client.HTTPSConnection(
        proxy.hostname or "", proxy.port or 8080, timeout=_TIMEOUT_S, context=context
    )
    connection.set_tunnel(host, port, _proxy_headers(proxy))
    return connection


def _proxy(url: str) -> SplitResult | None:
    address = select_proxy(url, get_environ_proxies(url))
    if not address:
        return None
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        _ = parts.port
    except ValueError as error:
        raise Stop("HTTPS_PROXY is no URL; write e.g. http://proxy.example:8080.") from error
    return parts


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    words = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(words.encode()).decode("ascii")}
