"""Secrets never print: every class that holds a key, and every line of a round's log."""

import ast
import base64
import copy
import dataclasses
import io
import json
import logging
import pickle  # noqa: TID251 - to see that it is refused
import pprint
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Refused, Stop
from agent.exchange.carry import _Trip
from agent.exchange.downlink import Downlink
from agent.exchange.folder import Bearer
from agent.exchange.https import Https
from agent.exchange.lanes import Lane
from agent.exchange.places import Places
from agent.exchange.rotations import CourierKey, Requests
from agent.exchange.session import Link, Peer, _Signed
from agent.exchange.transport_log import TransportLog
from agent.exchange.uplink import Uplink
from agent.keeper.assemble import Outgoing, Us
from agent.keeper.identity import KeyFiles, OwnKeys
from agent.keeper.leaving import Leaving
from agent.keeper.mail import Mail
from agent.keeper.masking import Masking, Own
from agent.keeper.pipeline import Pipeline
from agent.keeper.policing import Policing
from agent.keeper.statements import Statements
from agent.keeper.training import Rounds
from agent.keeper.verdicts import Verdicts
from agent.key_ring import RingKey, Rings
from agent.keys import (
    Held,
    HybridSealingIdentity,
    Identity,
    PostQuantumIdentity,
    SealingIdentity,
    SigningIdentity,
    load_sealing,
    load_signing,
)
from agent.wire.documents import EnrolmentRequest, EnrolmentToken
from agent.wire.homomorphic import SumKey
from agent.wire.hybrid import Hybrid
from agent.wire.masking.seeds import RoundSecrets
from agent.wire.masking.setting import Site
from agent.wire.masking.silo import Row, SiloRound
from consortium.answers import Registrar
from consortium.carrying import FolderDesk
from consortium.engine import Engine
from consortium.envelopes import Desk
from consortium.folder import Folder, LiveSigner, Settings, Signers
from consortium.masked import MaskedRounds
from consortium.metadata import _TufSigner
from consortium.opening import Opener
from consortium.serve import Service
from tests.kit.masking import setting as masked_round

_ROOT = Path(__file__).parents[2]
_RAW = bytes(range(200, 232))
_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_HOLD = {
    "Carrier",
    "Traffic",
    "CourierKey",
    "Desk",
    "Held",
    "HybridSealingIdentity",
    "Identity",
    "Link",
    "LiveSigner",
    "Mail",
    "Statements",
    "Opener",
    "PostQuantumIdentity",
    "PostQuantumSigner",
    "OwnKeys",
    "Registrar",
    "Rounds",
    "SealingIdentity",
    "KeyFiles",
    "Places",
    "Ring",
    "RingKey",
    "Rings",
    "Signer",
    "Signers",
    "SigningIdentity",
    "Unsealer",
    "Secret",
    "load_sealing",
    "load_signers",
    "load_signing",
}
_NONE: Any = None  # what a constructor only stores
# Protocols, and the base of the three kinds.
_NOT_KEYS = {"Carrier", "PostQuantumSigner", "Ring", "Signer", "Unsealer", "Secret"}


def _sign() -> SigningIdentity:
    return SigningIdentity("sign", _RAW, _NOW)


def _seal() -> SealingIdentity:
    return SealingIdentity("seal", _RAW, _NOW)


def _link(folder: Path) -> Link:
    log = TransportLog(folder / "transport.ndjson")
    return Link(
        Peer("http://127.0.0.1:1", None), "a", _sign(), transport_log=log, clock=lambda: _NOW
    )


def _courier_key(folder: Path) -> CourierKey:
    key = CourierKey(folder / "courier.key")
    key._next = SigningIdentity("courier", _RAW)
    return key


def _rings() -> Rings:
    return Rings(RingKey(_RAW), RingKey(_RAW))


def _desk(folder: Path) -> Desk:
    return Desk(_NONE, folder, "c", Registrar("c", _sign()))


def _signers(folder: Path) -> Signers:
    return Signers(LiveSigner(folder / "aggregator.key", "aggregator"))


def _own(folder: Path) -> OwnKeys:
    return OwnKeys(folder, folder, "a")


def _rounds(folder: Path) -> Rounds:
    return Rounds(_NONE, _NONE, _NONE, _NONE, _NONE, _own(folder), "a", _NONE)


def _mail(folder: Path) -> Mail:
    return Mail(_NONE, _NONE, _NONE, "a", _own(folder))


HOLDERS: dict[str, Callable[[Path], object]] = {
    "SigningIdentity": lambda _: _sign(),
    "SealingIdentity": lambda _: _seal(),
    "PostQuantumIdentity": lambda _: PostQuantumIdentity("pq-sign", _RAW),
    "HybridSealingIdentity": lambda _: HybridSealingIdentity("round", _RAW * 3),
    "Held": lambda _: Held("sign", _RAW),
    "Identity": lambda _: Identity(_sign(), _seal(), _sign()),
    "RingKey": lambda _: RingKey(_RAW),
    "Rings": lambda _: _rings(),
    "Places": lambda folder: Places.under(folder, _rings()),
    "_Trip": lambda folder: _Trip(Places.under(folder, _rings()), _NONE, canary=False),
    "KeyFiles": lambda folder: KeyFiles(folder, folder, folder, _rings()),
    "Us": lambda folder: Us(_NONE, _NONE, OwnKeys(folder, folder, "a", RingKey(_RAW))),
    "CourierKey": _courier_key,
    "OwnKeys": _own,
    "LiveSigner": lambda folder: LiveSigner(folder / "aggregator.key", "aggregator"),
    "Signers": _signers,
    "Registrar": lambda _: Registrar("c", _sign()),
    "Opener": lambda folder: Opener(folder, _sign()),
    "Engine": lambda folder: Engine(
        _NONE, Folder(folder), _signers(folder), Registrar("c", _sign())
    ),
    "Desk": _desk,
    "FolderDesk": lambda folder: FolderDesk(_NONE, Folder(folder), _desk(folder), "c"),
    "Service": lambda folder: Service(_NONE, _NONE, _desk(folder), _NONE, _NONE),
    "_TufSigner": lambda _: _TufSigner(_sign()),
    "Statements": lambda folder: Statements(_NONE, _NONE, _own(folder), "a", "c"),
    "Outgoing": lambda folder: Outgoing(_NONE, _own(folder)),
    "Verdicts": lambda folder: Verdicts(_NONE, _NONE, _own(folder), "a", "class"),
    "Leaving": lambda folder: Leaving(
        _NONE, folder, _NONE, _NONE, Statements(_NONE, _NONE, _own(folder), "a", "c"), _NONE
    ),
    "Policing": lambda folder: Policing(
        _NONE, _NONE, Statements(_NONE, _NONE, _own(folder), "a", "c"), "a", _NONE
    ),
    "_Signed": lambda _: _Signed("a", _sign(), lambda: _NOW),
    "Link": _link,
    "Https": lambda folder: Https(_link(folder)),
    "Bearer": lambda _: Bearer("a", "c", (_sign(),)),
    "Lane": lambda folder: Lane("up", lambda _: 0, _link(folder), lambda: 0, 1.0),
    "Downlink": lambda folder: Downlink(Https(_link(folder)), _NONE, folder / "feed.json"),
    "Uplink": lambda folder: Uplink(Https(_link(folder)), _NONE, _NONE, folder / "answered.json"),
    "Requests": lambda folder: Requests(_link(folder), folder),
    "MaskedRounds": lambda folder: MaskedRounds(
        _NONE, Folder(folder), _sign(), Registrar("c", _sign())
    ),
    "Own": lambda folder: Own("a", _sign(), folder),
    "Masking": lambda folder: Masking(
        _NONE, _NONE, _rounds(folder), _NONE, _NONE, Own("a", _sign(), folder)
    ),
    "RoundSecrets": lambda _: RoundSecrets(_RAW * 2),
    "SumKey": lambda _: SumKey("ckks", _RAW),
    "Row": lambda _: Row("r", "keys", "00" * 32, b"", b"", Held("masking", _RAW)),
    "SiloRound": lambda _: SiloRound(masked_round(6), "silo-00", Site(), _sign()),
    "Rounds": _rounds,
    "Hybrid": lambda _: Hybrid("00", PostQuantumIdentity("pq-sign", _RAW)),
    "Mail": _mail,
    "Pipeline": lambda folder: Pipeline(
        *(_NONE, _NONE, _NONE, _mail(folder), _NONE, _NONE),
        *(_rounds(folder), _NONE, _NONE, _NONE, _NONE, _NONE),
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for purpose in ("sign", "courier", "aggregator"):
        SigningIdentity(purpose, _RAW, _NOW).save(tmp_path / f"{purpose}.key")
    settings = Settings(consortium="c", host="127.0.0.1", port=1)
    Folder(tmp_path).settings_file.write_bytes(settings.to_bytes())
    return tmp_path


def _classes() -> Iterator[tuple[str, set[str]]]:
    """Yields each class of the product, and what its fields and its constructor name."""
    for package in ("agent", "consortium"):
        for path in sorted((_ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    yield node.name, _named(node)


def _named(node: ast.ClassDef) -> set[str]:
    parts: list[ast.AST] = [*node.bases]
    parts += [one.annotation for one in node.body if isinstance(one, ast.AnnAssign)]
    parts += [
        one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"
    ]
    found = (inner for part in parts for inner in ast.walk(part))
    return {one.id for one in found if isinstance(one, ast.Name)}


def test_every_class_that_holds_a_key_is_looked_at_here() -> None:
    holding = {name for name, named in _classes() if named & _HOLD}
    assert holding - _NOT_KEYS <= set(HOLDERS), "build the new one in HOLDERS"
    assert set(HOLDERS) - holding <= {"LiveSigner"}, "no longer there, or holds no key any more"


def forms(raw: bytes) -> list[bytes]:
    """Returns how a secret could look, in whole or in a telling part."""
    return [
        raw,
        raw.hex().encode(),
        raw.hex().upper().encode(),
        base64.b64encode(raw)[:40],
        base64.urlsafe_b64encode(raw)[:40],
        repr(raw)[2:40].encode(),
        repr(list(raw))[1:60].encode(),
    ]


def _hides(shown: str | bytes, raw: bytes = _RAW) -> bool:
    content = shown if isinstance(shown, bytes) else shown.encode("utf-8", "surrogateescape")
    return not any(form in content for form in forms(raw))


@pytest.mark.parametrize("name", sorted(HOLDERS))
def test_no_way_of_showing_it_shows_the_key(name: str, folder: Path) -> None:
    held = HOLDERS[name](folder)
    shown = [repr(held), str(held), f"{held}", f"{held!r}", f"{held!s:>200}", format(held)]
    shown += ["%s %r" % (held, held), pprint.pformat([held]), json.dumps(held, default=str)]  # noqa: UP031
    shown += [repr(getattr(held, "__dict__", ""))]
    for slot in getattr(type(held), "__slots__", ()):
        if slot not in {"_raw"}:
            shown.append(repr(getattr(held, slot, "")))
    if dataclasses.is_dataclass(held) and not isinstance(held, type):
        shown.append(repr(dataclasses.fields(held)))
    assert all(_hides(text) for text in shown)


@pytest.mark.parametrize("name", sorted(HOLDERS))
def test_no_copy_carries_the_key_away(name: str, folder: Path) -> None:
    held = HOLDERS[name](folder)
    sink = io.BytesIO()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with suppress(TypeError, AttributeError, pickle.PicklingError):
            pickle.Pickler(sink, protocol).dump(held)
    assert _hides(sink.getvalue())
    if isinstance(held, SigningIdentity | SealingIdentity | Held | RingKey):
        for take in (copy.copy, copy.deepcopy, type(held).__getstate__):
            with pytest.raises(TypeError, match="never pickled"):
                take(held)
        with pytest.raises(TypeError):
            vars(held)
    if isinstance(held, Identity):
        with pytest.raises(TypeError, match="never pickled"):
            dataclasses.asdict(held)


def _with_locals(error: BaseException) -> str:
    # Without the test's own frame, which made the secret up.
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    report = traceback.TracebackException(type(error), error, trace, capture_locals=True)
    return "".join(report.format())


@pytest.mark.parametrize("name", sorted(HOLDERS))
def test_a_traceback_with_locals_hides_it(name: str, folder: Path) -> None:
    def fail(held: object) -> None:
        raise ValueError(f"no use for {held}")

    with pytest.raises(ValueError, match="no use") as caught:
        fail(HOLDERS[name](folder))
    assert _hides(_with_locals(caught.value))


@pytest.mark.parametrize(
    ("line", "mode"),
    [
        (f"onggi-key-v1 seal {_RAW.hex()}", 0o400),
        (f"onggi-key-v1 sign {_RAW.hex()} more", 0o400),
        (f"onggi-key-v2 sign {_RAW.hex()} yesterday", 0o400),
        (f"onggi-key-v9 sign {_RAW.hex()} x", 0o400),
        (f"onggi-key-v3 sign {_RAW.hex()}", 0o400),
        (f"onggi-key-v1 sign {_RAW.hex()}", 0o404),
        (f"\udcff sign {_RAW.hex()}", 0o400),
    ],
)
@pytest.mark.parametrize("load", [load_signing, load_sealing])
def test_a_key_file_that_cannot_be_used_is_not_shown(
    tmp_path: Path, line: str, mode: int, load: Callable[..., object]
) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(line.encode("utf-8", "surrogateescape"))
    path.chmod(mode)
    with pytest.raises(Stop) as caught:
        load(path, "aggregator")
    assert _hides(_with_locals(caught.value))


def test_a_key_that_cannot_be_saved_is_not_shown(folder: Path) -> None:
    for path in (folder / "sign.key", folder / "none" / "sign.key"):
        with pytest.raises(Stop) as caught:
            _sign().save(path)
        assert _hides(_with_locals(caught.value))


@pytest.mark.parametrize("key", [_seal(), HybridSealingIdentity("round", _RAW * 3)])
@pytest.mark.parametrize("sealed", [b"", b"x" * 100, b"x" * 1200])
def test_what_a_key_refuses_to_open_is_refused_without_it(
    key: SealingIdentity | HybridSealingIdentity, sealed: bytes
) -> None:
    with pytest.raises(Refused) as caught:
        key.unseal(sealed)
    assert _hides(_with_locals(caught.value))


def test_a_log_line_that_is_handed_a_key_hides_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logging.getLogger("agent").log(level, "key %s %r", _sign(), _seal())
    assert _hides(caplog.text)
    assert caplog.text.count("hidden") == 8


def test_a_tokens_nonce_is_not_shown() -> None:
    nonce = _RAW.hex()
    fields: dict[str, Any] = {"silo": "a", "nonce": nonce}
    shown = [repr(one.model_construct(**fields)) for one in (EnrolmentToken, EnrolmentRequest)]
    assert all(_hides(text) for text in shown)


_ROUND = """
import json, logging, pathlib, sys, traceback
from agent import log
log.setup("DEBUG")
from tests.unit.consortium.conftest import House
folder = pathlib.Path(sys.argv[1])
house = House(folder / "aggregator")
def secrets():
    raws = [key._raw.hex() for silo in house.silos.values()
            for key in (silo.sign, silo.seal, silo.courier)]
    places = (house.folder.offline, house.folder.keys, house.folder.round_keys)
    files = [path for place in places for path in place.iterdir()]
    return raws + [path.read_text().split()[2] for path in files]
house.enrol("a", "b", "c")
house.plan(rounds=1)
house.tick()
found = set(secrets())
for name in house.silos:
    assert house.deliver(name, house.seal(name)).kind == "receipt"
house.settle()
(folder / "secrets.json").write_text(json.dumps(sorted(found | set(secrets()))))
del found
print(house.__dict__, house.signers, house.officers, house.silos)
for attack in (lambda: house.token("a"), lambda: house.seal("nobody")):
    try:
        attack()
    except Exception as error:
        report = traceback.TracebackException.from_exception(error, capture_locals=True)
        print("".join(report.format()))
        logging.getLogger("agent").exception("it failed")
"""


@pytest.mark.slow
def test_an_enrolment_and_a_round_at_every_level_log_no_key(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ROUND, str(tmp_path)], capture_output=True, cwd=_ROOT, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    secrets = json.loads((tmp_path / "secrets.json").read_text())
    assert len(secrets) == 3 * 3 + 3 * 3 + 5 + 1, "silos, offline and online keys, the round's"
    assert b"round_aggregated" in done.stderr
    assert b"Traceback" in done.stdout
    for secret in secrets:
        assert _hides(done.stdout + done.stderr, bytes.fromhex(secret))
