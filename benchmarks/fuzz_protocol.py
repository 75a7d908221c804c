"""Feeds damaged messages to every parser of the protocol: each is read or refused by name.

`python -m benchmarks.fuzz --protocol [--runs 100000] [--seed 1] [--only NAME]`. A signed document
is damaged in two ways: as it travels, where nearly always the signature does not fit; and before
it is signed, by a key that is trusted, so that what stands behind the signature is reached, too.
JSON is damaged byte by byte and value by value.
"""

import base64
import random
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from nacl import bindings
from nacl.public import PublicKey, SealedBox
from rich.console import Console
from rich.table import Table

from agent.errors import Refused, Stop
from agent.files import sha256_bytes
from agent.policy.rules import parse_policy
from agent.records import Json
from agent.wire import envelope, signed, strict_json
from agent.wire.carrying import FeedRequest
from agent.wire.documents import EnrolmentRequest, EnrolmentResponse, Feed, ReleaseManifest
from agent.wire.repository import RepositoryFiles, verify_repository
from agent.wire.request import request_message
from agent.wire.statements import verify_statement
from agent.wire.token import decode_token, encode_token
from agent.wire.trusted import Trusted
from agent.wire.update import unpack
from benchmarks.fuzz_masking import masking_targets
from benchmarks.fuzz_samples import NOW, SHAPES, Samples
from tests.kit.consortium import Consortium

_POLICY = Path(__file__).parent.parent / "config_templates" / "policy.toml"

_SCALARS: list[Json] = [
    *(None, True, -1, 0, 2**31, 2**63, 10**40, -(10**40), 1e308, 0.1, "", "a", "\0", "é" * 40),
    *("9" * 400, "ab" * 32, "2026-02-31T00:00:00Z", "9999-99-99T99:99:99Z", "../../etc", "١٢"),
    "0001-01-01T00:00:00Z",
]
_NESTED: list[Json] = [[], {}, [[]], {"a": {"a": {}}}, ["a"] * 300, {"v": 1}]
_VALUES = _SCALARS + _NESTED
_PIECES = (
    *(b"\0", b"\xff", b'"', b"{", b"}", b"[" * 40, b"]", b",", b":", b"\\u0000", b"\\ud800"),
    *(b"NaN", b"Infinity", b"1e999", b"-0", b'{"a":1,"a":1}', b"null", b"\xed\xa0\x80", b"\\"),
    *(b"=", b"==", b"_-", b"\n", b"ONGGI-E1", b"DSSEv1", b"9" * 5000, b'"kind":"root",'),
)


@dataclass(frozen=True, slots=True)
class Target:
    """A parser: what makes one damaged input, and what reads it."""

    make: Callable[[random.Random], bytes]
    read: Callable[[bytes], object]


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Returns the content with one to four faults in its bytes."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(found) + 1)
        match chance.randrange(6):
            case 0 if at < len(found):
                found[at] ^= 1 << chance.randrange(8)
            case 1:
                del found[at : at + chance.randint(1, 30)]
            case 2:
                found[at:at] = chance.choice(_PIECES)
            case 3:
                found[at:at] = found[at : at + chance.randint(1, 100)]
            case 4 if at < len(found):
                found[at] = chance.randrange(256)
            case 5 if chance.random() < 0.2:
                del found[at:]
            case _:
                pass
    return bytes(found)


def distorted(content: bytes, chance: random.Random) -> bytes:
    """Returns a JSON document with one to three of its values replaced, doubled or left out."""
    value = strict_json.loads(content)
    for _ in range(chance.randint(1, 3)):
        value = _distort(value, chance)
    return strict_json.dumps(value)


def _distort(value: Json, chance: random.Random) -> Json:
    if isinstance(value, dict) and value and chance.random() < 0.9:
        return _distort_object(value, chance)
    if isinstance(value, list) and value and chance.random() < 0.9:
        return _distort_list(value, chance)
    if isinstance(value, str) and chance.random() < 0.4:
        return damaged(value.encode(), chance).decode("utf-8", "replace")
    return chance.choice(_VALUES)


def _distort_object(value: dict[str, Json], chance: random.Random) -> Json:
    key = chance.choice(sorted(value))
    rest = {name: inner for name, inner in value.items() if name != key}
    match chance.randrange(8):
        case 0:
            return rest
        case 1:
            return {**value, "extra": chance.choice(_VALUES)}
        case 2:
            return {**rest, key + " ": value[key]}
        case _:
            return {**value, key: _distort(value[key], chance)}


def _distort_list(value: list[Json], chance: random.Random) -> Json:
    at = chance.randrange(len(value))
    match chance.randrange(4):
        case 0:
            return value[:at] + value[at + 1 :]
        case 1:
            return [*value, value[at]]
        case _:
            return [*value[:at], _distort(value[at], chance), *value[at + 1 :]]


def either(content: bytes, chance: random.Random) -> bytes:
    """Damages a JSON document in its bytes or in its values."""
    return damaged(content, chance) if chance.random() < 0.4 else distorted(content, chance)


def targets() -> dict[str, Target]:
    """Returns every parser of the protocol by name."""
    samples = Samples()
    made = {kind: _signed_target(samples, kind) for kind in samples.documents}
    made["container"] = Target(
        lambda chance: either(samples.signed("receipt"), chance),
        lambda content: signed.verify(content, "receipt", samples.keys),
    )
    made["token"] = Target(lambda chance: _token(samples, chance), _read_token)
    made["feed"] = Target(
        lambda chance: either(samples.feed().to_bytes(), chance),
        Feed.parse,
    )
    made["enrolled"] = Target(
        lambda chance: either(samples.response().to_bytes(), chance), EnrolmentResponse.parse
    )
    made["request"] = Target(lambda chance: damaged(b"PUT /v1/x?offset=1", chance), _read_request)
    made["envelope header"] = Target(
        lambda chance: _header(samples, chance),
        lambda content: envelope.verify_header(content, samples.roster),
    )
    made["envelope blob"] = Target(lambda chance: _blob(samples, chance), _opener(samples))
    made["update"] = Target(
        lambda chance: damaged(samples.update, chance), lambda content: unpack(content, SHAPES)
    )
    kit = Consortium()
    state = kit.release(1)[0]
    made["release repository"] = Target(
        lambda chance: either(state, chance),
        lambda content: verify_repository(
            RepositoryFiles.parse(content), kit.repository.root_sha256, "stable", kit.now, _no_floor
        ),
    )
    policy = _POLICY.read_bytes()
    made["policy"] = Target(lambda chance: damaged(policy, chance), _read_policy)
    return made | {
        name: Target(make, read) for name, (make, read) in masking_targets(damaged, either).items()
    }


def _no_floor(_: str) -> int:
    return 0


def _read_policy(content: bytes) -> object:
    try:
        return parse_policy(content, _POLICY)
    except Stop as stop:  # a site's own file: what is wrong with it is for its administrator
        raise Refused("policy_malformed", str(stop)) from stop


def _signed_target(samples: Samples, kind: str) -> Target:
    payload = samples.documents[kind].to_bytes()

    def make(chance: random.Random) -> bytes:
        if chance.random() < 0.2:
            return either(samples.signed(kind), chance)
        return signed.sign(kind, either(payload, chance), samples.signer)

    return Target(make, _reader(samples, kind))


def _reader(samples: Samples, kind: str) -> Callable[[bytes], object]:
    if kind == "root":
        # Pinned whatever it is, for the parser to be reached.
        return lambda content: Trusted(content, _pin(content), NOW)
    if kind == "enrolment":
        return lambda content: EnrolmentRequest.parse(signed.verify(content, kind, samples.keys))
    if kind == "feed_request":
        return lambda content: FeedRequest.parse(signed.verify(content, kind, samples.keys))
    if kind in {"declined", "egress_root"}:
        return lambda content: verify_statement(content, samples.signer.public_hex)
    if kind == "release":
        # The release repository signs it; the manifest itself is only parsed.
        return lambda content: ReleaseManifest.parse(signed.verify(content, kind, samples.keys))
    trusted = Trusted(samples.signed("root"), _pin(samples.signed("root")), NOW)
    trusted.take_catalogue(samples.signed("catalogue"))
    trusted.take_plan(samples.signed("plan"), NOW)
    return _take(trusted, kind)


def _take(trusted: Trusted, kind: str) -> Callable[[bytes], object]:
    known = trusted.plans, trusted.catalogue, trusted.catalogue_sha256

    def take(content: bytes) -> object:
        # What one input brings about must not decide how the next is judged.
        trusted.plans, trusted.catalogue, trusted.catalogue_sha256 = dict(known[0]), *known[1:]
        trusted.roster = None
        readers: dict[str, Callable[[], object]] = {
            "roster": lambda: trusted.take_roster(content, NOW),
            "catalogue": lambda: trusted.take_catalogue(content),
            "plan": lambda: trusted.take_plan(content, NOW),
            "round": lambda: trusted.take_round(content, NOW),
            "receipt": lambda: trusted.receipt(content),
            "refusal": lambda: trusted.refusal(content),
        }
        return readers[kind]()

    return take


def _pin(content: bytes) -> str:
    try:
        return sha256_bytes(signed.parse(content).payload)
    except Refused:
        return ""


def _token(samples: Samples, chance: random.Random) -> bytes:
    if chance.random() < 0.3:
        return damaged(encode_token(samples.token()).encode(), chance)
    return base64.urlsafe_b64encode(either(samples.token().to_bytes(), chance)).rstrip(b"=")


def _read_token(content: bytes) -> object:
    return decode_token(content.decode("utf-8", "replace"))


def _read_request(content: bytes) -> object:
    parts = content.decode("latin-1").split(" ", 1)
    return request_message(parts[0], parts[-1], "a", "2026-06-01T00:00:00Z", "00" * 16, "ab" * 32)


def _header(samples: Samples, chance: random.Random) -> bytes:
    if chance.random() < 0.3:
        return damaged(samples.header, chance)
    if chance.random() < 0.3:
        body = damaged(samples.header[:-96], chance)
    else:
        core = either(samples.core.to_bytes(), chance)
        body = b"ONGGI-E1" + struct.pack(">I", len(core)) + core + bytes(152)
    signature = samples.signer.sign(signed.pre_authentication("envelope", body))
    return body + bytes.fromhex(signed.key_id(samples.signer.public_hex)) + signature


def _blob(samples: Samples, chance: random.Random) -> bytes:
    """Damages a blob, or encrypts a strange stream with the right key: then only the end tells."""
    if chance.random() < 0.8:
        return damaged(samples.blob, chance)
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    found = bindings.crypto_secretstream_xchacha20poly1305_init_push(state, bytes(32))
    for _ in range(chance.randrange(4)):
        piece, tag = chance.randbytes(chance.randrange(40)), chance.choice((0, 1, 2, 3))
        found += bindings.crypto_secretstream_xchacha20poly1305_push(state, piece, bytes(32), tag)
    return found


def _opener(samples: Samples) -> Callable[[bytes], object]:
    header = envelope.verify_header(samples.header, samples.roster)
    public = PublicKey(bytes.fromhex(samples.recipient.public_hex))
    core = samples.core.model_copy(update={"commitment": envelope.commitment(bytes(32))})
    known = envelope.Header(
        envelope_id="",
        core=core,
        core_sha256=bytes(32),
        wrapped_key=SealedBox(public).encrypt(bytes(64)),
        blob_sha256="",
        blob_bytes=0,
    )

    def read(content: bytes) -> object:
        try:
            return envelope.open_blob(header, BytesIO(content), samples.recipient)
        except Refused:
            return envelope.open_blob(known, BytesIO(content), samples.recipient)

    return read


def outcome(target: Target, content: bytes) -> str:
    """Reads one input.

    Returns:
        `read`, or the code with which it was refused.

    Raises:
        Exception: Whatever else the parser let escape; that is the fault that is looked for.
    """
    try:
        target.read(content)
    except Refused as refused:
        return refused.code
    return "read"


def fuzz(target: Target, runs: range, seed: int) -> Counter[str]:
    """Reads so many damaged inputs and counts what became of them.

    Raises:
        RuntimeError: A parser let something else than a refusal escape; it names the run.
    """
    found: Counter[str] = Counter()
    for run in runs:
        content = target.make(random.Random(f"{seed} {run}"))
        try:
            found[outcome(target, content)] += 1
        except Exception as error:
            raise RuntimeError(f"run {run} of seed {seed}: {content[:400]!r}") from error
    return found


def main(runs: int, seed: int, only: Sequence[str]) -> None:
    """Prints what became of the damaged inputs, by parser."""
    table = Table("parser", "runs", "outcomes")
    for name, target in targets().items():
        if only and name not in only:
            continue
        found = fuzz(target, range(runs), seed)
        said = ", ".join(f"{code} {count}" for code, count in found.most_common())
        table.add_row(name, str(found.total()), said)
    Console(width=140).print(table)
