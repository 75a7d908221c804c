"""What `onggi egress figures` writes: a release's gate figures, encrypted and signed."""

from pathlib import Path

from agent.clock import now, to_text
from agent.config import Paths
from agent.errors import Refused, Stop
from agent.keeper.assemble import read_enrolment
from agent.keeper.policing import last_known
from agent.keys import load_signing
from agent.ledger.book import Detail, Ledger
from agent.wire.documents import ReleaseManifest
from agent.wire.figures import KIND, Errors, Figures, key_id, sealed
from agent.wire.signed import sign


def encrypted_figures(paths: Paths, release: str, public: Path) -> bytes:
    """Returns the signed container; nothing has left yet.

    Raises:
        Refused: `figures_kept` (the site's policy lets none out), `unknown_release`,
            `nothing_judged` (the gate compared no head), or a code of `figures.sealed`.
        Stop: A file cannot be read, or TenSEAL is not installed.
    """
    with Ledger(paths.ledger, read_only=True) as ledger:
        if last_known(ledger).leave.figures != "encrypted":
            raise Refused(
                "figures_kept",
                'The policy lets no figures out; sign one off with `figures = "encrypted"` in '
                "[leave].",
            )
        item = ledger.get("release", release)
    if item is None:
        raise Refused("unknown_release", f"No release {release!r} has come; see `onggi releases`.")
    manifest = ReleaseManifest.model_validate_json(str(item.detail["manifest"]))
    errors = _errors(item.detail)
    if not any(head in errors for head in manifest.heads):
        raise Refused("nothing_judged", f"The gate compared no shared head of {release}.")
    key = _read(public)
    figures = Figures(
        consortium=manifest.consortium,
        silo=read_enrolment(paths).silo,
        release_id=manifest.release_id,
        weights_sha256=manifest.weights_sha256,
        heads=manifest.heads,
        key_sha256=key_id(key),
        pieces=sealed(key, manifest.heads, errors),
        created=to_text(now()),
    )
    return sign(KIND, figures.to_bytes(), load_signing(paths.keys / "sign.key", "sign"))


def _errors(detail: Detail) -> Errors:
    found = detail.get("errors")
    pairs = found.items() if isinstance(found, dict) else ()
    return {
        task: (_number(pair[0]), _number(pair[1])) for task, pair in pairs if isinstance(pair, list)
    }


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Stop(f"Cannot read {path}; name the public half that the key holder made.") from error
