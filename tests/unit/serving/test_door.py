import json
import time
from pathlib import Path

import pytest
from fastapi import FastAPI

from agent import clock
from agent.errors import Stop
from agent.serve_settings import ServeSection
from agent.serving import me, tokens
from agent.serving.door import Door
from agent.serving.metrics import Metrics
from tests.kit.asgi import ask
from tests.unit.serving.test_tls import Files

HOST = ("Host", "localhost")


def test_headers_access_and_audit_stand_before_every_route(tmp_path: Path) -> None:
    now = clock.now()
    secret = tokens.add(tmp_path, tokens.drafted("kim", ["predict"], 0, None, now), now)
    app, metrics = FastAPI(), Metrics()
    me.room(app)

    @app.post("/v1/predict")
    def nothing() -> None: ...

    with Door(ServeSection(), tmp_path) as door:
        guarded = door.around(app, metrics)
        refused = ask(guarded, "/v1/predict", [HOST], "POST")
        bearer = ("Authorization", f"Bearer {secret}")
        assert ask(guarded, "/v1/predict", [HOST, bearer], "POST").status == 200
    assert (refused.status, refused.header("cache-control")) == (401, "no-store")
    assert "default-src 'none'" in refused.header("content-security-policy")
    assert 'route="other",status="401"' in metrics.render(None, None).decode()
    (path,) = (tmp_path / "audit").iterdir()
    (line,) = path.read_text().splitlines()  # who was refused is no line: a flood fills no disk
    assert json.loads(line)["who"] == "kim"


def test_a_renewed_certificate_is_taken_while_it_stands(tmp_path: Path) -> None:
    files = Files(tmp_path)
    section = ServeSection(certificate=files.certificate, key=files.key)
    with Door(section, tmp_path) as door:
        assert door._certificate is not None
        assert door.tls()["ssl_context_factory"](None, None) is door._certificate.context
        before = door._certificate._newest
        files.renew()
        while door._certificate._newest is before:
            time.sleep(0.01)
    assert Door(ServeSection(), tmp_path).tls() == {}


def test_what_cannot_work_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="make a token"):
        Door(ServeSection(host="10.1.2.3"), tmp_path)
    section = ServeSection(certificate=tmp_path / "c", key=tmp_path / "k")
    with pytest.raises(Stop, match="cannot be used"):
        Door(section, tmp_path)
