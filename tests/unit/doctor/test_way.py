import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from agent.clock import now
from agent.doctor import way
from agent.errors import Refused, TryLater
from agent.exchange import reach


class _Aggregator(BaseHTTPRequestHandler):
    dated = True

    def do_GET(self) -> None:
        self.send_response_only(200)
        if self.dated:
            self.send_header("Date", self.date_time_string())
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Aggregator) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_aggregators_clock_is_read(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert way.judge_clock(reach.server_time(url, None), now()).outcome == "ok"
    monkeypatch.setattr(_Aggregator, "dated", False)
    with pytest.raises(Refused, match="no_date"):
        reach.server_time(url, None)


def test_an_aggregator_that_is_away() -> None:
    with pytest.raises(TryLater, match="does not answer"):
        reach.server_time("http://127.0.0.1:9", None)


def test_a_clock_that_is_off_is_told_with_what_to_do() -> None:
    found = way.judge_clock(now() + timedelta(minutes=10), now())
    assert found.outcome == "failed"
    assert "NTP" in found.said
    assert "-600 s" in found.said


def test_a_proxy_is_what_must_have_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.example:8080")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert reach.first_host("https://aggregator.example:8443") == "proxy.example"
    monkeypatch.setenv("NO_PROXY", "aggregator.example")
    assert reach.first_host("https://aggregator.example:8443") == "aggregator.example"
    assert reach.resolves("localhost") >= 1
