"""The aggregator as a real process over TLS: silos that speak the contract, and kill -9."""

import base64
import io
import json
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import requests
from click.testing import CliRunner

from agent.clock import now, to_text
from agent.errors import EXIT_TRY_LATER
from agent.files import sha256_bytes
from agent.keys import SigningIdentity, new_sealing, new_signing
from agent.wire.documents import (
    EnrolmentRequest,
    EnrolmentResponse,
    Feed,
    Plan,
    Privacy,
    RoundManifest,
    UpdateCore,
)
from agent.wire.envelope import seal
from agent.wire.network import expected_shapes
from agent.wire.repository import MANIFEST, WEIGHTS, RepositoryFiles
from agent.wire.request import NONCE, OFFSET, SIGNATURE, SILO, TIME, request_message
from agent.wire.signed import key_id, sign
from agent.wire.token import decode_token
from agent.wire.trusted import Trusted
from agent.wire.update import decode, group_of, pack
from consortium.cli import main
from tests.kit.recipes import recipe

REFERENCE = "ab" * 32
DRAFT = {
    "plan_id": "p1",
    "endpoints": ["logd", "solubility"],
    "network": {"kind": "sparse_trunk", "hidden": [256], "dropout": 0.0, "seed": 1},
    "recipe": recipe(rounds=3, release_every=2).model_dump(),
}
PIECE = 1 << 20


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output.strip()


class Aggregator:
    """One serving process that tests may kill and start again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port = _free_port()
        _run("init", folder, "--consortium", "demo", "--port", str(port))
        self.url = f"https://127.0.0.1:{port}"
        self.ca = str(folder / "certificate.pem")
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        return [sys.executable, "-m", "consortium", "serve", "--folder", str(self.folder)]

    def officers(self) -> list[str | Path]:
        keys = [self.folder / "offline" / f"officer-{number}.key" for number in (1, 3)]
        return ["--folder", self.folder, *(part for key in keys for part in ("--key", key))]

    def start(self) -> None:
        self.process = subprocess.Popen(self.command(), stderr=subprocess.DEVNULL)
        while True:
            try:
                answer = requests.get(f"{self.url}/healthz", verify=self.ca, timeout=60)
            except requests.ConnectionError:
                assert self.process.poll() is None, "the aggregator ended"
            else:
                assert answer.json() == {"status": "ok"}
                return

    def end(self, how: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait()
        self.process = None
        return code

    def kill_and_start(self) -> None:
        self.end(signal.SIGKILL)
        self.start()

    def status(self) -> dict[str, list[dict[str, object]]]:
        answer = requests.get(f"{self.url}/v1/status", verify=self.ca, timeout=60)
        found: dict[str, list[dict[str, object]]] = answer.json()
        return found


class Silo:
    """A silo that keeps to the contract, in a few lines."""

    def __init__(self, name: str, aggregator: Aggregator) -> None:
        self.name = name
        self.aggregator = aggregator
        self.sign_key, self.courier = new_signing("sign"), new_signing("courier")
        self.seal_key = new_sealing("seal")
        self.cursor = 0
        self.plan: Plan | None = None
        self.round: RoundManifest | None = None
        self.releases: dict[str, str] = {}
        self.enrol()

    def enrol(self) -> None:
        token = decode_token(_run("token", self.name, "--folder", self.aggregator.folder))
        request = EnrolmentRequest(
            silo=self.name,
            legal_entity="Company",
            nonce=token.nonce,
            sign_key=self.sign_key.public_hex,
            seal_key=self.seal_key.public_hex,
            courier_key=self.courier.public_hex,
            reference_sha256=REFERENCE,
            agent_version="0",
            created=to_text(now()),
        )
        body = sign("enrolment", request.to_bytes(), self.sign_key)
        url, ca = f"{token.url}/v1/enrol", self.aggregator.ca
        assert requests.post(url, data=body, verify=ca, timeout=60).status_code == 202
        _run("roster", "admit", self.name, *self.aggregator.officers())
        answer = requests.post(url, data=body, verify=ca, timeout=60)
        assert answer.status_code == 200, answer.text
        response = EnrolmentResponse.parse(answer.content)
        self.trusted = Trusted(base64.b64decode(response.root), token.root_sha256, now())
        self.trusted.take_roster(base64.b64decode(response.roster), now())
        self.trusted.take_catalogue(base64.b64decode(response.catalogue))

    def headers(
        self, method: str, target: str, body: bytes = b"", moment: datetime | None = None
    ) -> dict[str, str]:
        time, nonce = to_text(moment or now()), secrets.token_hex(16)
        message = request_message(method, target, self.name, time, nonce, sha256_bytes(body))
        signature = self.courier.sign(message).hex()
        return {SILO: self.name, TIME: time, NONCE: nonce, SIGNATURE: signature}

    def ask(self, method: str, target: str, body: bytes = b"", **more: str) -> requests.Response:
        headers = self.headers(method, target, body) | more
        url, ca = self.aggregator.url + target, self.aggregator.ca
        return requests.request(method, url, data=body, headers=headers, verify=ca, timeout=60)

    def listen(self, wait_s: float = 25.0) -> list[str]:
        answer = self.ask("GET", f"/v1/feed?after={self.cursor}&wait_s={wait_s:g}")
        feed = Feed.parse(answer.content)
        for item in feed.items:
            document = base64.b64decode(item.document)
            if item.kind == "roster":
                self.trusted.take_roster(document, now())
            elif item.kind == "plan":
                self.plan = self.trusted.take_plan(document, now())
            elif item.kind == "round":
                self.round = self.trusted.take_round(document, now())
            elif item.kind == "stable":
                self.take_releases(document)
        self.cursor = feed.last
        return [item.kind for item in feed.items]

    def take_releases(self, document: bytes) -> None:
        found = self.trusted.take_repository(document, "stable", now(), lambda _: 0)
        for offer in found.offers[-1:]:
            manifest = self.fetch(offer.files[MANIFEST].sha256)
            weights = self.trusted.take_release(offer, manifest, now()).weights_sha256
            self.releases[offer.release_id] = weights
            # The same by the names that TUF gives them.
            listed = offer.files[WEIGHTS].sha256
            path = f"targets/releases/{offer.release_id}/{listed}.{WEIGHTS}"
            assert self.ask("GET", f"/v1/repository/{path}").content == self.fetch(weights)
        files = RepositoryFiles.parse(document)
        root = self.ask("GET", "/v1/repository/metadata/1.root.json")
        assert root.text == files.roots[0]
        assert self.ask("GET", "/v1/repository/metadata/9.root.json").status_code == 404

    def wait_for_round(self, number: int) -> None:
        while self.round is None or self.round.number < number:
            self.listen()

    def fetch(self, sha256: str) -> bytes:
        """Fetches an object in two parts, as after a lost connection."""
        target = f"/v1/repository/{sha256}"
        whole = self.ask("GET", target).content
        half = len(whole) // 2
        rest = self.ask("GET", target, Range=f"bytes={half}-")
        assert rest.status_code == 206
        assert whole[half:] == rest.content
        assert sha256_bytes(whole) == sha256
        return whole

    def shapes(self) -> dict[str, tuple[int, ...]]:
        assert self.plan is not None
        return expected_shapes(self.plan.network, self.plan.features, self.plan.endpoints)

    def seal(
        self, value: float = 1.0, signer: SigningIdentity | None = None, **changes: object
    ) -> tuple[str, bytes, bytes]:
        assert self.plan is not None
        assert self.round is not None
        delta = {name: np.full(shape, value, np.float32) for name, shape in self.shapes().items()}
        core = UpdateCore(
            consortium="demo",
            silo=self.name,
            sequence=1,
            roster_version=1,
            roster_sha256=self.trusted.roster_sha256,
            plan_id=self.round.plan_id,
            round_id=self.round.round_id,
            attempt=self.round.attempt,
            base_sha256=self.round.base_sha256,
            feature_sha256=sha256_bytes(self.plan.features.to_bytes()),
            reference_sha256=REFERENCE,
            agent_version="0",
            created=to_text(now()),
            expires=to_text(now() + timedelta(days=1)),
            recipient=key_id(self.round.seal_key),
            commitment="00" * 32,
            privacy=Privacy(),
            egress_head="00" * 32,
        ).model_copy(update=changes)
        blob = io.BytesIO()
        payload = pack(delta, {group_of(name): 1.0 for name in delta})
        header = seal(payload, core, self.round.seal_key, signer or self.sign_key, blob)
        return sha256_bytes(header), header, blob.getvalue()

    def put_header(self, envelope_id: str, header: bytes) -> requests.Response:
        return self.ask("PUT", f"/v1/envelopes/{envelope_id}/header", header)

    def put_piece(self, envelope_id: str, offset: int, piece: bytes) -> requests.Response:
        return self.ask("PUT", f"/v1/envelopes/{envelope_id}/blob?offset={offset}", piece)

    def deliver(self, envelope_id: str, header: bytes, blob: bytes) -> bytes:
        answer = self.put_header(envelope_id, header)
        assert answer.status_code == 200, answer.text
        if "receipt" in answer.headers["Content-Type"]:
            return answer.content
        offset = answer.json()["offset"]
        while True:
            answer = self.put_piece(envelope_id, offset, blob[offset : offset + PIECE])
            if answer.status_code == 200:
                assert self.trusted.receipt(answer.content).envelope_id == envelope_id
                return answer.content
            assert answer.status_code == 202, answer.text
            offset = answer.json()["offset"]


@pytest.fixture
def aggregator(tmp_path: Path) -> Iterator[Aggregator]:
    aggregator = Aggregator(tmp_path / "aggregator")
    aggregator.start()
    yield aggregator
    if aggregator.process is not None:
        aggregator.end(signal.SIGTERM)


def _publish(aggregator: Aggregator, tmp_path: Path) -> None:
    draft = tmp_path / "plan.json"
    draft.write_text(json.dumps(DRAFT))
    _run("plan", draft, *aggregator.officers())


@pytest.mark.slow
def test_a_plan_survives_a_kill_between_any_two_steps(
    aggregator: Aggregator, tmp_path: Path
) -> None:
    silos = [Silo(name, aggregator) for name in ("a", "b", "c")]
    _publish(aggregator, tmp_path)
    sent: dict[tuple[int, str], str] = {}
    for number in (1, 2, 3):
        for silo in silos:
            silo.wait_for_round(number)
            aggregator.kill_and_start()
            sealed = silo.seal(value=float(number))
            envelope_id, header, blob = sealed
            silo.put_header(envelope_id, header)
            silo.put_piece(envelope_id, 0, blob[:1000])
            aggregator.kill_and_start()
            assert silo.ask("HEAD", f"/v1/envelopes/{envelope_id}").headers[OFFSET] == "1000"
            receipt = silo.deliver(*sealed)
            aggregator.kill_and_start()
            assert silo.deliver(*sealed) == receipt, "the same question gets the same bytes"
            sent[number, silo.name] = envelope_id
    while "release-2" not in silos[0].releases:
        silos[0].listen()
    counted = {
        (one["number"], entry["silo"]): entry["envelope_id"]
        for one in aggregator.status()["rounds"]
        for entry in _entries(one["counted"])
    }
    assert counted == sent
    assert [one["state"] for one in aggregator.status()["rounds"]] == ["aggregated"] * 3
    start = decode(
        silos[0].fetch(str(aggregator.status()["rounds"][0]["base_sha256"])), silos[0].shapes()
    )
    end = decode(silos[0].fetch(silos[0].releases["release-2"]), silos[0].shapes())
    for name, before in start.items():
        np.testing.assert_allclose(end[name], before + 6.0, atol=1e-4)
    assert list((aggregator.folder / "round_keys").iterdir()) == []
    assert list((aggregator.folder / "blobs").iterdir()) == []


def _entries(value: object) -> list[dict[str, str]]:
    assert isinstance(value, list)
    return value


@pytest.mark.slow
def test_refusals_over_http_are_signed_and_the_round_goes_on(
    aggregator: Aggregator, tmp_path: Path
) -> None:
    one, other = Silo("a", aggregator), Silo("b", aggregator)
    _publish(aggregator, tmp_path)
    for silo in (one, other):
        silo.wait_for_round(1)
    stranger = one.seal(signer=new_signing("sign"))
    cases = {
        "unknown_signer": (one, stranger, 403),
        "wrong_silo": (other, one.seal(), 403),
        "wrong_base": (one, one.seal(base_sha256="11" * 32), 403),
        "wrong_consortium": (one, one.seal(consortium="else"), 403),
        "expired": (one, one.seal(expires="2026-01-01T00:00:00.000000Z"), 410),
    }
    for code, (silo, (envelope_id, header, _), status) in cases.items():
        answer = silo.put_header(envelope_id, header)
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/vnd.onggi.refusal+json"
        assert silo.trusted.refusal(answer.content).code == code
    altered = one.seal()
    answer = one.put_header(*altered[:2])
    bad = bytes([altered[2][0] ^ 1]) + altered[2][1:]
    for offset in range(0, len(bad), PIECE):
        answer = one.put_piece(altered[0], offset, bad[offset : offset + PIECE])
    assert one.trusted.refusal(answer.content).code == "bad_blob"
    other.deliver(*other.seal())
    second = other.seal()
    answer = other.put_header(*second[:2])
    assert answer.status_code == 409
    assert other.trusted.refusal(answer.content).code == "equivocation"
    logged = str(aggregator.status())
    for code in (*cases, "bad_blob", "equivocation"):
        assert code in logged
    assert aggregator.status()["rounds"][0]["state"] == "collecting"


@pytest.mark.slow
def test_what_the_routes_answer_to_the_wrong_question(
    aggregator: Aggregator, tmp_path: Path
) -> None:
    silo = Silo("a", aggregator)
    late = silo.headers("GET", "/v1/roster", moment=now() - timedelta(seconds=400))
    good = silo.headers("GET", "/v1/roster")
    url, ca, codes = f"{aggregator.url}/v1/roster", aggregator.ca, []
    for headers in (None, late, good, good):
        answer = requests.get(url, headers=headers, verify=ca, timeout=60)
        codes.append(f"{answer.status_code} {answer.json().get('code')}")
    refused = ["401 unsigned_request", "401 wrong_time", "401 replayed_request"]
    assert codes == [*refused[:2], "200 None", refused[2]]
    assert silo.ask("GET", f"/v1/repository/{'00' * 32}").json()["code"] == "unknown_object"
    assert silo.ask("GET", "/v1/repository/..%2froot.json").status_code == 404
    assert silo.ask("GET", "/v1/rounds/p1.r1.a1/state").json()["code"] == "unknown_round"
    assert silo.ask("HEAD", f"/v1/envelopes/{'00' * 32}").status_code == 404
    assert silo.put_piece("00" * 32, 0, b"x").json()["code"] == "unknown_envelope"
    assert silo.put_header("00" * 32, b"x").json()["code"] == "wrong_id"
    assert silo.put_header("00" * 32, bytes(3 << 20)).json()["code"] == "body_too_large"
    for after in (-1, 2**31, 2**63):  # the last is more than the database takes
        assert silo.ask("GET", f"/v1/feed?after={after}").json()["code"] == "bad_parameter"
    assert silo.ask("GET", "/docs").status_code == 404
    _publish(aggregator, tmp_path)
    silo.wait_for_round(1)
    state = silo.ask("GET", "/v1/rounds/p1.r1.a1/state").json()
    assert (state["state"], state["counted"], state["number"]) == ("collecting", [], 1)
    envelope_id, header, blob = silo.seal()
    silo.put_header(envelope_id, header)
    answer = silo.put_piece(envelope_id, 5, blob[:10])
    assert answer.status_code == 409
    assert (answer.json()["code"], answer.headers[OFFSET]) == ("wrong_offset", "0")
    stranger = Silo("b", aggregator)
    assert stranger.ask("GET", "/v1/rounds/p1.r1.a1/state").json()["code"] == "not_participant"


@pytest.mark.slow
def test_a_waiting_silo_hears_of_a_plan_at_once(aggregator: Aggregator, tmp_path: Path) -> None:
    silo = Silo("a", aggregator)
    while silo.listen(wait_s=0):
        pass
    heard: list[list[str]] = []
    waiting = threading.Thread(target=lambda: heard.append(silo.listen()))
    waiting.start()
    _publish(aggregator, tmp_path)
    waiting.join()
    assert heard[0][0] == "plan"


@pytest.mark.slow
def test_one_process_serves_a_folder_and_sigterm_ends_it(aggregator: Aggregator) -> None:
    second = subprocess.run(aggregator.command(), capture_output=True, check=False)
    assert second.returncode == EXIT_TRY_LATER
    assert b"Another process holds" in second.stderr
    assert aggregator.end(signal.SIGTERM) in (0, -signal.SIGTERM)
    aggregator.start()
