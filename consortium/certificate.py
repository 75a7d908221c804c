"""The aggregator's own TLS certificate; silos pin its public key, so no authority signs it."""

import hashlib
import ipaddress
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.errors import Stop

_VALID_FOR = timedelta(days=3650)
_CLOCKS_DIFFER = timedelta(days=1)


def make_certificate(host: str, now: datetime) -> tuple[bytes, bytes]:
    """Makes a key and a self-signed certificate for the host.

    It carries what strict verifiers demand (RFC 5280 key identifiers and usages), so that it can
    be its own trust anchor in a `ca.pem`.

    Args:
        host: An IP address or a DNS name; loopback gets `localhost` as well.
        now: The time from which it is valid, less a day for clocks that differ.

    Returns:
        The private key and the certificate, both PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
    )
    return _key_pem(key), builder.sign(key, hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )


def public_key_sha256(certificate_file: Path) -> str:
    """Returns SHA-256 of the certificate's SubjectPublicKeyInfo, which silos pin.

    Raises:
        Stop: The file is missing or no certificate.
    """
    info = (
        _read(certificate_file)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return hashlib.sha256(info).hexdigest()


def certificate_end(certificate_file: Path) -> datetime:
    """Returns when the certificate ends.

    Raises:
        Stop: The file is missing or no certificate.
    """
    return _read(certificate_file).not_valid_after_utc


def _read(certificate_file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate_file.read_bytes())
    except (OSError, ValueError) as error:
        raise Stop(f"Cannot read the certificate {certificate_file}; restore it.") from error


def is_loopback(host: str) -> bool:
    """Tells whether the host can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # A socket for both families shows 127.0.0.1 as ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _names(host: str) -> list[x509.GeneralName]:
    try:
        names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(host))]
    except ValueError:
        names = [x509.DNSName(host)]
    if is_loopback(host) and host != "localhost":
        names.append(x509.DNSName("localhost"))
    return names


def _usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
