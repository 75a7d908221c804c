"""The chemists' page in a real browser, in front of the real process with a small release."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Error, Page, Position, Request, Route, expect

from tests.kit import chemists
from tests.kit.visiting import PATIENCE_MS, chromium, serving, stand_in

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PROPRANOLOL = chemists.COMPOUNDS[0]
ATENOLOL = chemists.COMPOUNDS[1]
SOLUBILITY = '[data-endpoint="solubility"]'
LOGD = '[data-endpoint="logd"]'
NUMBER = re.compile(r"^−?[\d.,]+$")
CHANGE = re.compile(r"^[+−][\d.]+$")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The process, and where it answers."""
    with serving(tmp_path_factory.mktemp("predict")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@dataclass
class Visit:
    """One visit: its page, and everything that a page should not do."""

    page: Page
    address: str
    expected: tuple[str, ...] = ()  # refusals that the test provokes; the browser logs each
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self._console(said.type, said.text))
        self.page.on("request", self._request)

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(part in text for part in self.expected):
            self.errors.append(text)

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.address}/", "data:", "blob:")):
            self.foreign.append(request.url)

    def open(self, path: str = "/") -> Page:
        self.page.goto(self.address + path)
        self.page.wait_for_selector(".summary h1")
        return self.page

    def paste(self, text: str) -> None:
        self.page.fill("#structure", text)

    def answer(self, path: str, act: Callable[[Route], None]) -> None:
        self.page.route(f"**{path}", act)


Visiting = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visiting]:
    """Begins visits; none of them may ask anybody else or log an error."""
    begun: list[Visit] = []

    def begin(locale: str = "en-GB", width: int = 1440, *, bare: bool = False) -> Visit:
        context = browser.new_context(locale=locale, viewport={"width": width, "height": 1000})
        context.set_default_timeout(PATIENCE_MS)
        made = Visit(context.new_page(), address)
        made.watch()
        if not bare:  # else the site's own answers: it has no reference and no keeper
            stand_in(made.page)
        begun.append(made)
        return made

    yield begin
    for one in begun:
        one.page.goto("about:blank")
        one.page.unroute_all(behavior="ignoreErrors")  # an answer may still be on its way
        one.page.context.close()
    assert [one.foreign for one in begun if one.foreign] == []
    assert [one.errors for one in begun if one.errors] == []


def test_draw_predict_heat_map_what_if(visit: Visiting) -> None:
    page = visit().open()
    board = page.locator(".board")
    size = board.bounding_box()
    assert size is not None
    centre = Position(x=size["width"] / 2, y=size["height"] / 2)
    board.click(position=centre)  # the bond tool is the first one: ethane
    expect(page.locator("#structure")).to_have_value("CC")
    expect(page.locator(f"{SOLUBILITY} .value b")).to_have_text(NUMBER)
    expect(page.locator(".halo circle")).not_to_have_count(0)
    page.click(f"{LOGD} .pick")
    expect(page.locator("#heat-endpoint")).to_have_value("logd")
    first = page.locator(f"{LOGD} .value b").inner_text()

    page.click("#keep")
    expect(page.locator(f"{LOGD} .was")).to_have_text(first)
    board.click(position=Position(x=centre["x"], y=centre["y"] + 70))  # a second molecule
    expect(page.locator("#structure")).to_have_value("CC.CC")
    page.fill("#structure", PROPRANOLOL)
    expect(page.locator(f"{LOGD} .was")).to_have_text(first)
    expect(page.locator(f"{LOGD} .value b")).not_to_have_text(first)
    expect(page.locator(f"{LOGD} .change")).to_have_text(CHANGE)
    expect(page.locator("figcaption")).to_have_text(["Reference", "Now"])
    page.select_option("#lang", "ko")  # the comparison outlives it
    expect(page.locator("figcaption")).to_have_text(["기준", "현재"])
    expect(page.locator(f"{LOGD} .was")).to_have_text(first)
    page.select_option("#lang", "en")
    page.get_by_role("button", name="Swap").click()
    expect(page.locator("#structure")).to_have_value("CC")
    expect(page.locator(f"{LOGD} .value b")).to_have_text(first)
    page.click("#drop")
    expect(page.locator(f"{LOGD} .was")).to_have_text("")


def test_a_pasted_mol_block_and_a_dropped_file_are_read(visit: Visiting, tmp_path: Path) -> None:
    page = visit().open()
    page.fill("#structure", ATENOLOL)
    expect(page.locator(f"{LOGD} .value b")).to_have_text(NUMBER)
    said = page.locator(f"{LOGD} .value b").inner_text()
    page.fill("#structure", "")
    expect(page.locator(f"{LOGD} .value b")).to_have_count(0)
    from rdkit import Chem
    from rdkit.Chem import AllChem

    mol = Chem.MolFromSmiles(ATENOLOL)
    AllChem.Compute2DCoords(mol)  # type: ignore[attr-defined]
    block = Chem.MolToMolBlock(mol)
    page.fill("#structure", block)
    expect(page.locator(f"{LOGD} .value b")).to_have_text(said)
    (tmp_path / "two.sdf").write_text(f"{block}$$$$\n{block}$$$$\n")
    page.fill("#structure", "")
    page.set_input_files("#structure-file", tmp_path / "two.sdf")
    expect(page.locator(f"{LOGD} .value b")).to_have_text(said)
    expect(page.locator(".notice")).to_contain_text("several structures")


def test_a_structure_that_cannot_be_read_says_why_and_the_next_one_counts(
    visit: Visiting,
) -> None:
    page = visit().open()
    page.fill("#structure", "CC(C)(C)(C)C")
    expect(page.locator("#structure-fault")).to_contain_text("Cannot be predicted")
    expect(page.locator(f"{LOGD} .value b")).to_have_count(0)
    page.fill("#structure", "CCO")
    expect(page.locator("#structure-fault")).to_be_empty()
    expect(page.locator(f"{LOGD} .value b")).to_have_text(NUMBER)


def test_the_latest_structure_wins_however_late_the_first_answer_comes(visit: Visiting) -> None:
    one = visit()
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:
        if not held:
            held.append(route)
        else:
            route.continue_()

    page = one.open()
    one.answer("/v1/predict", hold_the_first)
    with page.expect_request("**/v1/predict"):
        one.paste("c1ccccc1")
    with page.expect_event("requestfailed") as given_up:
        one.paste(PROPRANOLOL)
    assert given_up.value == held[0].request
    expect(page.locator(f"{LOGD} .value b")).to_have_text(NUMBER)
    with contextlib.suppress(Error):  # nobody waits for it any more
        held[0].continue_()


def test_the_language_is_the_browsers_then_the_one_that_was_chosen(visit: Visiting) -> None:
    page = visit("ko-KR").open()
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    expect(page.locator("nav a").first).to_have_text("단일 화합물")
    page.fill("#structure", PROPRANOLOL)
    expect(page.locator(f"{SOLUBILITY} .value b")).to_have_text(NUMBER)
    said = page.locator(f"{SOLUBILITY} .value b").inner_text()
    page.select_option("#lang", "en")
    expect(page.locator("nav a").first).to_have_text("One compound")
    expect(page.locator(f"{SOLUBILITY} .pick")).to_have_text("Solubility pH 7")
    expect(page.locator("#structure")).to_have_value(PROPRANOLOL)  # what was drawn is still there
    expect(page.locator(f"{SOLUBILITY} .value b")).to_have_text(said)
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("#structure")).to_have_value("")  # in memory alone


def test_an_expired_token_is_asked_for_once_and_nothing_is_lost(visit: Visiting) -> None:
    one = visit()
    one.expected = ("401 (Unauthorized)",)
    page = one.open()
    now = ["Bearer fresh"]

    def guarded(route: Route) -> None:
        if route.request.headers.get("authorization") in now:
            route.fallback()
            return
        problem = {"type": "about:blank", "title": "Unauthorized", "status": 401}
        said = {**problem, "code": "token_expired", "detail": "It has expired."}
        route.fulfill(status=401, content_type="application/problem+json", body=json.dumps(said))

    one.answer("/v1/*", guarded)
    one.paste(PROPRANOLOL)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("has expired")
    expect(page.locator("#token")).to_be_focused()
    page.keyboard.type("stale")
    page.keyboard.press("Enter")
    expect(page.locator("#token")).to_be_focused()  # refused as well: asked again
    expect(page.locator("#token")).to_have_value("")
    page.keyboard.type("fresh")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator(f"{LOGD} .value b")).to_have_text(NUMBER)
    expect(page.locator("#structure")).to_have_value(PROPRANOLOL)
    assert page.evaluate("Object.values(localStorage).join().includes('fresh')") is False
    assert page.evaluate("sessionStorage.length") == 1
    expect(page.locator(".near li")).to_have_count(4)  # the last question of the first structure
    now[0] = "Bearer newer"  # it ends while the page is open; whoever gives up may go on drawing
    one.paste(ATENOLOL)
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(".notice.error")).to_contain_text("expired")


def test_a_site_with_tokens_asks_before_anything_is_shown(visit: Visiting) -> None:
    one = visit()
    one.expected = ("401 (Unauthorized)",)
    problem = {"status": 401, "code": "token_missing", "detail": "Send a token."}

    def guarded(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer mine":
            route.fallback()
        else:
            route.fulfill(status=401, json=problem)

    one.answer("/v1/*", guarded)
    page = one.page
    page.goto(one.address)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("tokens only")
    page.get_by_role("button", name="Not now").click()
    expect(page.get_by_role("heading", name="Access by token")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    page.locator("#token").fill("mine")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".board")).to_be_visible()
    page.get_by_role("button", name="Forget the token").click()
    expect(dialog).to_be_visible()


def test_what_was_measured_comes_first_and_its_neighbours_are_shown(visit: Visiting) -> None:
    one = visit()

    def with_measured(route: Route) -> None:
        route.fulfill(json=chemists.measured(route.fetch().json()))

    one.answer("/v1/predict", with_measured)
    page = one.open()
    one.paste(PROPRANOLOL)
    expect(page.locator(f"{SOLUBILITY} .value b")).to_have_text("> 182")
    expect(page.locator(f"{SOLUBILITY} .measured")).to_have_text("measured, n = 1")
    expect(page.locator(f"{SOLUBILITY} .value")).to_contain_text("predicted")
    expect(page.locator(f"{LOGD} .measured")).to_have_count(0)
    page.click("#keep")  # compared with itself: like beside like
    expect(page.locator(f"{SOLUBILITY} .value b")).to_have_text(NUMBER)
    expect(page.locator(f"{SOLUBILITY} .measured")).to_have_text("measured > 182")
    expect(page.locator(f"{SOLUBILITY} .change")).to_have_text("×1.0")
    page.click("#drop")
    expect(page.locator(f"{LOGD} .rank")).to_have_count(2)
    expect(page.locator(".radar .shape")).to_have_count(1)
    near = page.locator(".near li")
    expect(near).to_have_count(4)
    near.nth(2).get_by_role("button").click()
    expect(page.locator("#structure")).to_have_value(ATENOLOL)


def test_what_the_site_does_not_show_is_left_out(visit: Visiting) -> None:
    one = visit(bare=True)
    page = one.open()
    one.paste(PROPRANOLOL)
    expect(page.locator(".touch circle")).to_have_count(19)
    expect(page.locator(".neighbours")).to_be_hidden()
    page.goto(f"{one.address}/#model")
    expect(page.locator(".model-numbers")).to_be_visible()
    page.goto(f"{one.address}/#many")
    expect(page.locator(".opening")).to_be_visible()
    expect(page.locator(".notice")).to_have_count(0)


def test_percentiles_come_once_they_are_worked_out(visit: Visiting) -> None:
    one = visit(bare=True)
    one.page.clock.install()  # the page looks every half a minute who asks, and for what
    me = {"name": "kim", "scopes": ["predict"], "access": "token"}
    one.answer("/v1/me", lambda route: route.fulfill(json={**me, "shows": []}))
    page = one.open()
    one.paste(PROPRANOLOL)
    expect(page.locator(".touch circle")).to_have_count(19)
    expect(page.locator(".radar")).to_be_hidden()
    expect(page.locator(".rank")).to_have_count(0)
    there = {**me, "shows": ["percentiles"]}
    one.answer("/v1/me", lambda route: route.fulfill(json=there))
    one.answer("/v1/percentiles", lambda route: route.fulfill(json=chemists.percentiles()))
    with page.expect_response("**/v1/me"):
        page.clock.fast_forward(30_000)
    one.paste(ATENOLOL)
    expect(page.locator(".radar")).to_be_visible()


def test_this_sessions_structures_are_at_hand_until_the_page_is_left(visit: Visiting) -> None:
    one = visit()
    page = one.open()
    for smiles in (PROPRANOLOL, ATENOLOL):
        one.paste(smiles)
        expect(page.locator(f".past button[title='{smiles}']")).to_be_attached()
    page.locator(f".past button[title='{PROPRANOLOL}']").click()
    expect(page.locator("#structure")).to_have_value(PROPRANOLOL)
    page.click("nav a[href='#many']")
    page.click("nav a[href='#one']")
    expect(page.locator(".past button")).to_have_count(2)
    kept = page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    )
    assert PROPRANOLOL not in kept
    page.reload()
    expect(page.locator(".past button")).to_have_count(0)


def test_a_server_that_is_gone_takes_nothing_along(visit: Visiting) -> None:
    one = visit()
    one.expected = ("net::ERR",)
    page = one.open()
    one.answer("/v1/*", lambda route: route.abort())
    one.paste(PROPRANOLOL)
    expect(page.locator(".notice.error")).to_contain_text("does not answer")
    expect(page.locator("#structure")).to_have_value(PROPRANOLOL)
    page.get_by_role("button", name="Close").click()
    expect(page.locator(".notice")).to_have_count(0)
    page.unroute("**/v1/*")
    one.paste(ATENOLOL)
    expect(page.locator(f"{LOGD} .value b")).to_have_text(NUMBER)


def test_the_atoms_are_read_by_the_arrow_keys(visit: Visiting) -> None:
    one = visit()
    page = one.open()
    one.paste("CCO")
    atoms = page.locator(".touch circle")
    expect(atoms).to_have_count(3)
    atoms.first.focus()
    expect(page.locator(".readout")).to_contain_text("atom 1")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".readout")).to_contain_text("O, atom 3")
    expect(atoms.nth(2)).to_be_focused()


def test_a_link_opens_its_structure_and_leaves_the_address(visit: Visiting) -> None:
    page = visit().open(f"/#one?smiles={quote(PROPRANOLOL, safe='')}")
    expect(page.locator("#structure")).to_have_value(PROPRANOLOL)
    expect(page.locator(f"{LOGD} .value b")).to_have_text(NUMBER)
    assert page.evaluate("location.hash") == "#one"


@pytest.mark.parametrize("width", [360, 768, 1024, 1920])
def test_nothing_leaves_the_screen_sideways(visit: Visiting, width: int) -> None:
    one = visit(width=width)
    page = one.open()
    one.paste(PROPRANOLOL)
    expect(page.locator(f"{LOGD} .value b")).to_have_text(NUMBER)
    page.click("#keep")
    expect(page.locator("#drop")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_colours_follow_the_choice_then_the_system(visit: Visiting) -> None:
    page = visit().open()
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.select_option("#theme", "light")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_the_page_says_so_while_no_model_is_loaded(visit: Visiting) -> None:
    one = visit()
    one.expected = ("503 (Service Unavailable)",)
    problem = {"status": 503, "code": "no_release", "detail": "No model is loaded yet: wait."}
    one.answer("/v1/model", lambda route: route.fulfill(status=503, json=problem))
    one.page.goto(one.address)
    expect(one.page.get_by_role("heading", name="No model is loaded yet")).to_be_visible()
    one.page.unroute("**/v1/model")
    one.page.get_by_role("button", name="Try again").click()
    expect(one.page.locator(".board")).to_be_visible()
