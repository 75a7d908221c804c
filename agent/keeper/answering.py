"""What a silo answers to an audit: its own copies of what it signed in the rounds that were chosen.

Nothing of it is secret: each was sent before, to the aggregator and to the other silos. It comes
from the silo's own ledger, so that it tells when somebody was shown something else.
"""

import base64
import binascii

from agent.errors import Refused
from agent.keeper.masking import kept_message
from agent.ledger.book import Ledger
from agent.wire.masking.audit import Answer, Answers, Challenge, chosen
from agent.wire.signed import parse
from agent.wire.trusted import Trusted


def answer(ledger: Ledger, trusted: Trusted, silo: str, challenge: Challenge) -> Answers:
    """Answers a challenge, once it is believed that the aggregator announced it.

    A round in which this silo sent no vector is left out: there is nothing to open.

    Raises:
        Refused: `malformed`, `nothing_to_answer`, or a code of `Trusted.announcement` or `chosen`.
    """
    try:
        container = base64.b64decode(challenge.announcement, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("malformed", "The challenge is not valid base64.") from error
    trusted.announcement(container)
    rounds = chosen(parse(container).payload, bytes.fromhex(challenge.coin), challenge.count)
    found = tuple(one for round_id in rounds if (one := _answer(ledger, silo, round_id)))
    if not found:
        raise Refused("nothing_to_answer", "This silo sent nothing in the rounds that were chosen.")
    return Answers(silo=silo, answers=found)


def _answer(ledger: Ledger, silo: str, round_id: str) -> Answer | None:
    keys = kept_message(ledger, round_id, "keys")
    upload = kept_message(ledger, round_id, "upload")
    ack = kept_message(ledger, round_id, "ack")
    if not keys or not upload:
        return None
    return Answer(silo=silo, round_id=round_id, keys=keys, upload=upload, ack=ack)
