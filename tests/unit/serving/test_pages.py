import gzip
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib.resources import files
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from agent.serving import pages, problems
from agent.serving.pages import Page, Shelf

ROOT = Path(str(files("agent.serving") / "static"))
OTHERS = {"vendor", "swagger"}  # the API's own page is no part of a visit
OURS = sorted(p for p in ROOT.rglob("*.js") if not OTHERS & set(p.parts))
MOST_BYTES = 450_000  # of everything that a visit loads, compressed
CATALOGUE = Path(__file__).parents[3] / "consortium" / "catalogue.json"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """An app that has the page and nothing else, over a real socket."""
    app = FastAPI()
    problems.install(app)
    pages.room('A & "B" <Pharma>')(app)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    with listener:
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def ask(port: int, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = HTTPConnection("127.0.0.1", port)
    try:
        said = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request(method, path, headers=said)
        response = connection.getresponse()
        found = {key.lower(): value for key, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


def test_the_page_names_the_silo_and_no_name_becomes_markup(port: int) -> None:
    answer = ask(port, "/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert b'content="A &amp; &quot;B&quot; &lt;Pharma&gt;"' in answer.content
    assert b"{{" not in answer.content


@pytest.mark.parametrize("path", ["app.js", "texts/ko.json", "onggi.css", "onggi.svg"])
def test_a_file_is_sent_as_what_it_is_plain_or_compressed(port: int, path: str) -> None:
    plain = ask(port, f"/static/{path}")
    packed = ask(port, f"/static/{path}", Accept_Encoding="br, gzip;q=0.8")
    assert plain.content == gzip.decompress(packed.content) == (ROOT / path).read_bytes()
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["content-type"] == packed.headers["content-type"]
    assert plain.headers["content-type"].split(";")[0] in {
        "text/javascript", "application/json", "text/css", "image/svg+xml"
    }  # fmt: skip
    assert plain.headers["vary"] == "Accept-Encoding"
    assert plain.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("refused", ["", "identity", "gzip;q=0", "br, gzip; q=0.000", "x-gzip"])
def test_nothing_is_compressed_for_who_does_not_take_it(port: int, refused: str) -> None:
    answer = ask(port, "/static/app.js", Accept_Encoding=refused)
    assert "content-encoding" not in answer.headers


def test_what_a_browser_has_is_not_sent_again(port: int) -> None:
    for coding in ("identity", "gzip"):
        first = ask(port, "/static/app.js", Accept_Encoding=coding)
        tag = first.headers["etag"]
        again = ask(port, "/static/app.js", Accept_Encoding=coding, If_None_Match=f'"x", W/{tag}')
        assert (again.status, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        other = ask(port, "/static/app.js", Accept_Encoding=coding, If_None_Match='"x"')
        assert other.status == 200


def test_a_head_has_the_headers_alone(port: int) -> None:
    whole, head = ask(port, "/static/app.js"), ask(port, "/static/app.js", "HEAD")
    assert head.content == b""
    assert head.headers["content-length"] == whole.headers["content-length"]


@pytest.mark.parametrize(
    "path",
    ["nothing.js", "", "..%2Fpages.py", "../pages.py", "vendor", "/etc/passwd", "index.html%00.js"],
)
def test_only_the_files_of_the_page_are_there(port: int, path: str) -> None:
    answer = ask(port, f"/static/{path}")
    assert answer.status == 404
    assert json.loads(answer.content)["code"] in {"no_such_page", "no_such_route"}


def test_a_visit_is_light() -> None:
    shelf = Shelf("Alpha")
    names = [one for one in shelf.names() if not one.startswith("swagger/")]
    loaded = [one for one in names if not one.endswith((".md", ".txt"))]
    assert "vendor/openchemlib.js" in loaded
    assert sum(len(shelf.page(one).packed) for one in loaded) < MOST_BYTES


def test_equal_files_are_equal_pages() -> None:
    assert Page.of("a.js", b"let a;") == Page.of("b.js", b"let a;")
    assert Page.of("a.js", b"let a;").tag != Page.of("a.js", b"let b;").tag


def test_the_vendored_files_are_those_that_were_noted() -> None:
    noted = dict(re.findall(r"\| `([\w.]+)` \|.*`([0-9a-f]{64})`", _text("vendor/README.md")))
    found = sorted(path for path in (ROOT / "vendor").glob("*.js"))
    assert [path.name for path in found] == sorted(noted)
    for path in found:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == noted[path.name]


@pytest.mark.parametrize("path", OURS, ids=name)
def test_no_script_does_what_the_policy_forbids_or_asks_elsewhere(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                 "new Function", 'setAttribute("style"', "cssText", "style:"):  # fmt: skip
        assert word not in source
    links = re.findall(r"\w+://[^\s\"'`]*", source)
    assert set(links) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("path", OURS, ids=name)
def test_every_module_that_is_imported_is_there(path: Path) -> None:
    imported = re.findall(r'from "(\.[^"]+)"', path.read_text(encoding="utf-8"))
    assert [one for one in imported if not (path.parent / one).is_file()] == []


def test_every_file_that_the_page_names_is_there() -> None:
    named = re.findall(r'(?:href|src)="/static/([^"]+)"', _text("index.html"))
    assert len(named) > 3
    assert [one for one in named if not (ROOT / one).is_file()] == []


@pytest.mark.parametrize("path", OURS, ids=name)
def test_a_module_fits_on_a_few_screens(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("part", ["", "many.", "model."])
def test_both_languages_say_the_same_things(part: str) -> None:
    english, korean = (_texts(f"{part}{lang}") for lang in ("en", "ko"))
    # The server's own sentences are English already.
    assert {
        key for key in english.keys() ^ korean.keys() if not key.startswith("problem.")
    } == set()
    for key in english.keys() & korean.keys():
        assert _values(korean[key]) == _values(english[key]), key
    assert all(text.strip() for text in [*english.values(), *korean.values()])


def test_every_text_that_is_asked_for_is_there() -> None:
    known = _texts("en") | _texts("many.en") | _texts("model.en")
    asked = {
        key
        for path in OURS
        for key in re.findall(r'\bt\(\s*"([\w.]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(asked) > 30
    assert sorted(asked - known.keys()) == []


def test_every_endpoint_of_the_catalogue_has_its_group_and_two_names() -> None:
    names = json.loads(_text("texts/endpoints.json"))
    catalogue = {one["id"]: one["group"] for one in json.loads(CATALOGUE.read_bytes())}
    assert {task: entry["group"] for task, entry in names.items()} == catalogue
    for lang in ("en", "ko"):
        assert len({entry[lang] for entry in names.values()}) == len(names)


def _values(text: str) -> set[str]:
    return set(re.findall(r"\{\w+\}", text))


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _texts(part: str) -> dict[str, str]:
    texts: dict[str, str] = json.loads(_text(f"texts/{part}.json"))
    return texts
