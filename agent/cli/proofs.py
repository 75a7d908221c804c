"""Reading a proof of the egress log, and the keys to check it with."""

from pathlib import Path

from agent.clock import now
from agent.config import Paths, load
from agent.errors import Refused, Stop
from agent.keeper.answering import answer
from agent.keeper.assemble import read_enrolment
from agent.keeper.trust import open_trust
from agent.ledger.book import Ledger
from agent.wire.documents import Roster
from agent.wire.masking.audit import Answers, Challenge
from agent.wire.signed import parse
from agent.wire.statements import Proof, receipt_of
from agent.wire.trusted import Trusted


def read_proof(path: Path) -> Proof:
    """Reads a proof's file.

    Raises:
        Stop: It cannot be read.
        Refused: `malformed`, or a code of `strict_json.loads`.
    """
    try:
        return Proof.parse(path.read_bytes())
    except OSError as error:
        raise Stop(f"Cannot read {path}: {error.strerror}.") from error


def own_key(config_path: Path) -> str:
    """Returns this silo's public signing key, as its enrolment pinned it.

    Raises:
        Stop: The silo is not enrolled, or the roster that it pinned is gone.
    """
    paths = Paths(load(config_path).site.state)
    silo = read_enrolment(paths).silo
    try:
        roster = Roster.parse(parse((paths.trust / "roster.json").read_bytes()).payload)
    except (OSError, Refused) as error:
        raise Stop("The roster of the enrolment cannot be read; name the key: --key.") from error
    keys = [member.sign_key for member in roster.members if member.silo == silo]
    if not keys:
        raise Stop("The roster of the enrolment lacks this silo; name the key with --key.")
    return keys[0]


def check_receipt(config_path: Path, proof: Proof) -> bool:
    """Checks the aggregator's countersignature against the trust root of the enrolment.

    Raises:
        Refused: `wrong_receipt`, or a code of `Trusted`.
        Stop: The trust root cannot be read.
    """
    paths = Paths(load(config_path).site.state)
    try:
        root = (paths.trust / "root.json").read_bytes()
    except OSError as error:
        raise Stop(f"Cannot read the trust root: {error.strerror}.") from error
    trusted = Trusted(root, read_enrolment(paths).root_sha256, now())
    content, root_id = receipt_of(proof)
    if trusted.receipt(content).envelope_id != root_id:
        raise Refused("wrong_receipt", "The receipt in this proof is for another root.")
    return True


def answered(config_path: Path, challenge: Path) -> Answers:
    """Answers an auditor's challenge from this silo's ledger.

    Raises:
        Refused: As `keeper.answering.answer`.
        Stop: The challenge or the enrolment cannot be read.
        OSError: The trust root cannot be read.
    """
    paths = Paths(load(config_path).site.state)
    try:
        asked = Challenge.parse(challenge.read_bytes())
    except OSError as error:
        raise Stop(f"Cannot read {challenge}: {error.strerror}.") from error
    enrolment = read_enrolment(paths)
    with Ledger(paths.ledger, read_only=True) as ledger:
        trusted = open_trust(paths.trust, enrolment.root_sha256, ledger, now())
        return answer(ledger, trusted, enrolment.silo, asked)
