"""The section `[serve]` of the configuration: where predict listens, and whom it answers."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from agent.toml import PathOrNone, Section

HostName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$|^\[[0-9a-f:.]+\]$")]


class OidcSection(Section):
    """An OpenID Connect provider whose tokens count beside the site's own.

    Attributes:
        issuer: As the provider writes it into `iss`; empty turns this off.
        audience: What the provider knows this endpoint by, in `aud`.
        jwks: Its keys (a JSON Web Key Set): a file that IT refreshes, since predict has no way out.
        name: The claim that names a caller.
        groups: The claim with a caller's groups or roles.
        predict, data, admin: The groups that have this scope; "*" is everybody with a token.
    """

    issuer: str = ""
    audience: str = ""
    jwks: PathOrNone = None
    name: str = "sub"
    groups: str = "groups"
    predict: tuple[str, ...] = ("*",)
    data: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()


class ServeSection(Section):
    """Where the chemists' endpoint listens, and whom it answers.

    Attributes:
        names: The names by which browsers may call it, beside those of this host alone.
        open: Whether whoever comes without a token may predict.
        certificate, key: PEM files for TLS.
        rate_per_minute: Requests a minute of a caller whose token names no rate; 0 is no limit.
        audit_structures: Whether the audit log holds what was asked, structures included.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8600
    threads: Annotated[int, Field(ge=1, le=64)] = 2
    names: tuple[HostName, ...] = ()
    open: bool = False
    certificate: PathOrNone = None
    key: PathOrNone = None
    rate_per_minute: Annotated[int, Field(ge=0)] = 0
    audit_structures: bool = False
    oidc: OidcSection = OidcSection()


def serve_faults(serve: dict[str, object]) -> Iterator[str]:
    """Yields the faults of the raw section that no field shows by itself."""
    if bool(serve.get("certificate")) != bool(serve.get("key")):
        yield "  serve: TLS needs both certificate and key"
    oidc = serve.get("oidc")
    if isinstance(oidc, dict):
        needed = ("issuer", "audience", "jwks")
        missing = [name for name in needed if not oidc.get(name)]
        if missing and len(missing) < len(needed):
            yield f"  serve.oidc: issuer, audience and jwks go together; add {', '.join(missing)}"
