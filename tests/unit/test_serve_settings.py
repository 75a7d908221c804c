from pathlib import Path

import pytest

from agent.config import load
from agent.errors import Stop


def _load(folder: Path, text: str) -> str:
    path = folder / "onggi.toml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path)
    except Stop as stop:
        return str(stop)
    return ""


def test_a_whole_section(tmp_path: Path) -> None:
    text = """
[serve]
host = "10.1.2.3"
names = ["onggi.example.com", "[fd00::1]"]
open = false
certificate = "/etc/onggi/tls.crt"
key = "/etc/onggi/tls.key"
rate_per_minute = 600
audit_structures = true
[serve.oidc]
issuer = "https://id.example.com"
audience = "onggi"
jwks = "/etc/onggi/jwks.json"
data = ["leads"]
"""
    assert _load(tmp_path, text) == ""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('certificate = "/c.pem"', "serve: TLS needs both certificate and key"),
        ('key = "/k.pem"', "serve: TLS needs both certificate and key"),
        ('certificate = "c.pem"\nkey = "/k"', "serve.certificate: must be an absolute path"),
        ('names = ["https://x"]', "serve.names[0]"),
        ('names = ["X.example"]', "serve.names[0]"),
        ('[serve.oidc]\nissuer = "x"', "issuer, audience and jwks go together; add audience, jwks"),
        ('[serve.oidc]\njwks = "/j"\naudience = "a"', "go together; add issuer"),
        ("[serve.oidc]\nscopes = []", "serve.oidc.scopes: unknown key"),
        ("rate_per_minute = -1", "serve.rate_per_minute"),
    ],
)
def test_faults_are_told(tmp_path: Path, text: str, fault: str) -> None:
    assert fault in _load(tmp_path, f"[serve]\n{text}\n")
