"""Swagger UI in a real browser, under predict's content security policy."""

import re
from collections.abc import Iterator
from hashlib import sha256
from http.client import HTTPConnection
from importlib.resources import files

import pytest
from playwright.sync_api import Page, Route

from tests.kit.predicting import Predict, until
from tests.kit.visiting import PATIENCE_MS, chromium

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@pytest.fixture(scope="module")
def predict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predict]:
    running = Predict.prepare(tmp_path_factory.mktemp("predict"))
    running.start()  # without a release: the page needs none
    until(lambda: "port" in running.status())
    yield running
    running.close()


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        yield page


def _under_policy(route: Route) -> None:
    response = route.fetch()
    route.fulfill(
        response=response, headers={**response.headers, "content-security-policy": POLICY}
    )


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_lists_the_routes_and_asks_nobody_else(predict: Predict, page: Page) -> None:
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.route("**/*", _under_policy)
    home = f"http://127.0.0.1:{predict.status()['port']}/"
    page.goto(home + "docs")
    page.locator(".opblock").first.wait_for()
    paths = page.locator(".opblock-summary-path").all_inner_texts()
    assert {"/v1/predict", "/v1/explain", "/v2/models/onggi/infer"} <= set(paths)
    page.locator("[id$='healthz_get'] .opblock-summary").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    assert said == []
    assert all(url.startswith((home, "data:")) for url in asked)


def test_its_files_are_those_that_were_published() -> None:
    folder = files("agent.serving") / "static" / "swagger"
    told = re.findall(r"^ {4}([0-9a-f]{64}) +(\S+)$", (folder / "README.md").read_text(), re.M)
    assert {name for _, name in told} == {"swagger-ui.css", "swagger-ui-bundle.js"}
    for digest, name in told:
        assert sha256((folder / name).read_bytes()).hexdigest() == digest


def test_a_file_is_sent_again_only_where_it_is_another(predict: Predict) -> None:
    connection = HTTPConnection("127.0.0.1", predict.status()["port"])
    for path, kind in (
        ("/docs", "text/html"),
        ("/static/swagger/initializer.js", "text/javascript"),
    ):
        connection.request("GET", path)
        response = connection.getresponse()
        assert (response.status, len(response.read()) > 0) == (200, True)
        assert response.headers["Content-Type"].startswith(kind)
        connection.request("GET", path, headers={"If-None-Match": response.headers["ETag"] or ""})
        again = connection.getresponse()
        assert (again.status, again.read()) == (304, b"")
    for name in ("README.md", "..%2fpages.py", "nothing.js"):
        connection.request("GET", f"/static/swagger/{name}")
        response = connection.getresponse()
        response.read()
        assert response.status == 404
    connection.close()
