"""TLS from two files, which IT renews while predict runs."""

import logging
import ssl
from pathlib import Path

from agent import log
from agent.errors import Stop

_LOGGER = logging.getLogger(__name__)
# For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has nothing else.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class Certificate:
    """A certificate and its key, taken anew when a file changes.

    A new pair makes a context of its own, to which each new handshake is switched: loading it into
    the context that another thread's handshake reads at that moment is a race in OpenSSL, and a
    pair of which only one half was written yet would break the one in use.

    Args:
        certificate: The chain, PEM, the host's own certificate first.
        key: Its private key, PEM, without a password.

    Raises:
        Stop: The two cannot be used.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._paths = certificate, key
        self._stamp = self._look()
        try:
            self._newest = self._load()
        except (OSError, ValueError) as error:
            raise Stop(
                f"The certificate {certificate} and the key {key} cannot be used "
                f"({_why(error)}); both must be PEM, belong together, have no password, and be "
                "readable for predict's user."
            ) from None
        self.context = self._load()
        self.context.sni_callback = self._switch

    def renew(self) -> None:
        """Takes the files if they changed; while they make no pair, the one before stays in use."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._newest = self._load()
        except (OSError, ValueError) as error:
            log.trouble(_LOGGER, "certificate_not_taken", why=_why(error))
            return
        log.event(_LOGGER, "certificate_taken")

    def _switch(
        self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _first: ssl.SSLContext
    ) -> None:
        # Called in every handshake, with or without a name.
        connection.context = self._newest

    def _look(self) -> tuple[tuple[int, int], ...]:
        return tuple(_stamp(path) for path in self._paths)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_RENEGOTIATION
        # A password would be asked for at the terminal, which a service has not.
        context.load_cert_chain(*self._paths, password=lambda: b"")
        return context


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0  # away, perhaps only for now: loading says so, once
    return stat.st_mtime_ns, stat.st_ino


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "no PEM, or not a pair"
    return str(getattr(error, "strerror", "")) or "no PEM"
