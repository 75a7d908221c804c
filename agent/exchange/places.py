"""Where a silo keeps what its courier needs, and what the enrolment left for it."""

from dataclasses import dataclass
from pathlib import Path

from agent.errors import Refused, Stop
from agent.files import write_atomic
from agent.key_ring import NO_RINGS, Rings
from agent.wire import strict_json
from agent.wire.documents import Enrolment


@dataclass(frozen=True, slots=True)
class Places:
    """The folders that enrolment fills and the courier works in.

    Attributes:
        keys: The keeper's own keys; the courier never reads it.
        courier: The courier's key, resume points, transport log and status.
        trust: Trust root, roster, catalogue, certificate, and the note of the enrolment.
        outbox: Sealed envelopes; the courier only reads it.
        inbox: Signed documents and the objects they name.
        rings: What opens the keys that rest sealed.
    """

    keys: Path
    courier: Path
    trust: Path
    outbox: Path
    inbox: Path
    rings: Rings = NO_RINGS

    @classmethod
    def under(cls, state: Path, rings: Rings = NO_RINGS) -> "Places":
        """Returns the usual places in one state folder."""
        keys, courier, trust, outbox, inbox = (
            state / name for name in ("keys", "courier", "trust", "outbox", "inbox")
        )
        return cls(keys, courier, trust, outbox, inbox, rings)

    @property
    def courier_key(self) -> Path:
        """The key that authenticates requests."""
        return self.courier / "courier.key"

    @property
    def ca_file(self) -> Path:
        """The pinned certificate of the aggregator; absent for plain HTTP on loopback."""
        return self.trust / "ca.pem"

    @property
    def token(self) -> Path:
        """The token of an enrolment by files, between its request and its response."""
        return self.trust / "token.json"

    @property
    def enrolment(self) -> Path:
        """The note that is written last when an enrolment is complete."""
        return self.trust / "enrolment.json"


def read_enrolment(places: Places) -> Enrolment:
    """Reads the note of a complete enrolment.

    Raises:
        Stop: There is none yet, it is damaged, or a newer program wrote it.
    """
    try:
        note = Enrolment.parse(places.enrolment.read_bytes())
    except FileNotFoundError as error:
        raise Stop(
            f"This silo is not enrolled ({places.enrolment} is missing); "
            "run `onggi enroll --token TOKEN`."
        ) from error
    except (OSError, Refused) as error:
        raise Stop(
            f"Cannot read {places.enrolment}; restore it from a backup, or move the trust folder "
            "away and enrol again with a new token."
        ) from error
    if note.format != 1:
        raise Stop(f"A newer Onggi wrote {places.trust}; install that version again.")
    return note


def trusted_certificates(places: Places, ca_file: Path | None) -> Path | None:
    """Returns the certificates by which the aggregator's TLS may be checked.

    The pinned certificate alone, as a rule. Where the company's proxy opens TLS, the aggregator's
    own certificate is never seen: then a company may name its authority, and both are trusted.
    What the channel then no longer hides from the company is in docs/protocol.md, section 5.

    Args:
        places: The silo's folders; a joined file is written beside the courier's own.
        ca_file: The company's certificates (PEM), or None.

    Raises:
        Stop: A file cannot be read, or the joined one not be written.
    """
    pinned = places.ca_file if places.ca_file.exists() else None
    if ca_file is None:
        return pinned
    joined = places.courier / "trusted.pem"
    try:
        parts = [path.read_bytes().rstrip() for path in (pinned, ca_file) if path is not None]
        write_atomic(joined, b"\n".join([*parts, b""]))
    except OSError as error:
        raise Stop(
            f"Cannot use the certificates in {ca_file} ({error.strerror}); see exchange.ca_file."
        ) from error
    return joined


def read_number_by_name(path: Path) -> dict[str, float]:
    """Reads a small JSON object of numbers that this program wrote; absent or damaged is empty.

    Both users of it can lose it without harm: what was done is then done once more, which the
    other side answers as before.
    """
    try:
        value = strict_json.loads(path.read_bytes())
    except (OSError, Refused):
        return {}
    if not isinstance(value, dict):
        return {}
    return {name: float(n) for name, n in value.items() if isinstance(n, int | float)}
