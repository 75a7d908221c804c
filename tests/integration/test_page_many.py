"""The page's table of many compounds and its view of the model, in a real browser."""

import json
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Route,
    expect,
)

from tests.kit import chemists, sites, tables
from tests.kit.visiting import PATIENCE_MS, chromium, serving, stand_in

pytestmark = pytest.mark.browser

MANY = 10_000
WHOLE_MS = 120_000  # to answer all of them; a machine under load takes its time
FRAMES = """async (step) => {
  const box = document.querySelector(".grid-scroll");
  const times = [];
  let last = performance.now();
  for (let i = 0; i < 100; i++) {
    box.scrollTop += step;
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - last);
    last = performance.now();
  }
  return times.sort((a, b) => a - b);
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The process, and where it answers."""
    with serving(tmp_path_factory.mktemp("predict")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


Opening = Callable[..., Page]


def watch(page: Page, faults: list[str], address: str) -> None:
    """Notes what a page should not do: raise, log an error, ask anybody else."""

    def heard(said: ConsoleMessage) -> None:
        if said.type == "error":
            faults.append(said.text)

    def asked(request: Request) -> None:
        if not request.url.startswith((f"{address}/", "data:", "blob:")):
            faults.append(request.url)

    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", heard)
    page.on("request", asked)


@pytest.fixture
def begin(browser: Browser, address: str) -> Iterator[Opening]:
    """Opens a view; no visit may ask anybody else or log an error."""
    begun: list[Page] = []
    faults: list[str] = []

    def opened(view: str, locale: str = "en-GB", width: int = 1440, **answers: object) -> Page:
        context = browser.new_context(locale=locale, viewport={"width": width, "height": 900})
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        watch(page, faults, address)
        stand_in(page)
        for path, content in answers.items():
            page.route(f"**/v1/{path}", _answering(content))
        page.goto(f"{address}/#{view}")
        page.wait_for_selector(".opening, .model, .board", timeout=WHOLE_MS)
        begun.append(page)
        return page

    yield opened
    for page in begun:
        page.goto("about:blank")
        page.unroute_all(behavior="ignoreErrors")
        page.context.close()
    assert faults == []


def _answering(content: object) -> Callable[[Route], None]:
    return content if callable(content) else lambda route: route.fulfill(json=content)


def few_tasks(address: str) -> dict[str, Any]:
    """Returns the card with only the endpoints that `tables` answers for."""
    card = ask(address, "GET", "/v1/model")
    tasks = [task for task in card["tasks"] if task["task"] in tables.TASKS]
    return {**card, "tasks": tasks}


def ask(address: str, method: str, path: str, body: object = None) -> dict[str, Any]:
    connection = HTTPConnection(urlsplit(address).netloc)
    try:
        connection.request(method, path, json.dumps(body) if body else None)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def drop(page: Page, name: str, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    page.set_input_files(
        "#many-file", {"name": name, "mimeType": "text/plain", "buffer": data}, timeout=WHOLE_MS
    )


def answered(page: Page) -> None:
    """Waits until every row has its answer."""
    page.wait_for_selector(".grid")
    page.wait_for_selector(".many-bar progress", state="detached", timeout=WHOLE_MS)


def column(page: Page, name: str) -> Locator:
    return page.locator("th", has_text=name)


def names(page: Page) -> list[str]:
    """Returns what the rows in sight are called, from the top."""
    shown: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("tbody .grid-row:not([hidden])")]
            .sort((a, b) => a.ariaRowIndex - b.ariaRowIndex || a.getAttribute("aria-rowindex")
                - b.getAttribute("aria-rowindex"))
            .map((row) => row.querySelector(".cell-name b").textContent)"""
    )
    return shown


def download(page: Page, which: str) -> list[dict[str, str]]:
    page.get_by_role("button", name="Download", exact=True).click()
    page.check(f"input[name=which][value={which}]")
    with page.expect_download() as begun:
        page.get_by_role("button", name="Download CSV").click()
    return tables.read_csv(Path(begun.value.path()).read_bytes())


BAD = (3, 5_000, 9_999)


@pytest.fixture
def whole(begin: Opening, address: str) -> Page:
    """The table with ten thousand rows."""
    page = begin("many", model=few_tasks(address), predict=tables.answer)
    drop(page, "series.csv", tables.as_csv(tables.rows(MANY, BAD)))
    answered(page)
    return page


@pytest.mark.slow
def test_ten_thousand_are_sorted_filtered_and_downloaded(whole: Page) -> None:
    table = tables.rows(MANY, BAD)
    expect(whole.get_by_role("grid")).to_have_attribute("aria-rowcount", str(MANY + 1))
    expect(whole.locator(".many-foot")).to_contain_text("3 with an error")
    column(whole, "Solubility").click()
    expect(column(whole, "Solubility")).to_have_attribute("aria-sort", "ascending")
    good = [row for number, row in enumerate(table) if number not in BAD]
    up = sorted(good, key=lambda row: tables.value("solubility", row[1]))
    assert names(whole)[:5] == [row[0] for row in up[:5]]
    column(whole, "Solubility").click()
    down = sorted(good, key=lambda row: -tables.value("solubility", row[1]))  # equals as they came
    assert names(whole)[:5] == [row[0] for row in down[:5]]

    whole.get_by_role("searchbox").fill("indole")
    whole.get_by_label("Add a range…").select_option("logd")
    whole.get_by_label("logD pH 7.4, from").fill("1,5")  # a comma, as many write it
    whole.get_by_label("logD pH 7.4, to").fill("3")
    whole.get_by_label("Inside the domain only").check()
    wanted = [row for row in down if row[2] == "indole" and _is_wanted(row[1])]
    expect(whole.locator(".many-foot")).to_contain_text(f"{len(wanted)} of 10,000 shown")

    found = download(whole, "shown")
    assert [[row[name] for name in tables.HEADER] for row in found] == wanted
    said = [float(row["solubility"]) for row in found]
    assert said == [tables.value("solubility", row[1]) for row in wanted]
    whole.get_by_role("button", name="Remove the range").click()
    expect(whole.locator(".range-chip")).to_have_count(0)


def _is_wanted(structure: str) -> bool:
    return 1.5 <= tables.value("logd", structure) <= 3 and tables.is_inside(structure)


@pytest.mark.slow
def test_ten_thousand_are_downloaded_as_they_came_and_scroll(
    whole: Page, record_testsuite_property: Callable[[str, object], None]
) -> None:
    found = download(whole, "all")
    assert [[row[name] for name in tables.HEADER] for row in found] == tables.rows(MANY, BAD)
    ends = [f"solubility{end}" for end in ("", "_lower", "_upper", "_inside", "_measured")]
    assert list(found[0])[4:9] == ends
    assert [at for at, row in enumerate(found) if row["onggi_error"]] == list(BAD)
    assert found[3]["onggi_error"] == "parse: a ring stays open"
    assert found[3]["logd"] == ""
    assert {row["onggi_release"] for row in found} == {"release-7"}

    times = whole.evaluate(FRAMES, 60)
    record_testsuite_property("median_frame_ms", times[50])
    record_testsuite_property("worst_frame_ms", times[-1])
    whole.evaluate("document.querySelector('.grid-scroll').scrollTop = 1e9")
    expect(whole.locator(f"tbody .grid-row[aria-rowindex='{MANY + 1}']")).to_be_visible()
    assert whole.locator("tbody .grid-row").count() < 40  # only those in sight exist


def test_rows_of_the_real_predict_keep_their_place(begin: Opening, address: str) -> None:
    structures = [chemists.COMPOUNDS[at % len(chemists.COMPOUNDS)] for at in range(200)]
    structures[7], structures[150] = "not a structure", "CC(C)(C)(C)C"
    table = [[f"c{at}", one, "", ""] for at, one in enumerate(structures)]
    page = begin("many")
    drop(page, "two hundred.csv", tables.as_csv(table))
    answered(page)
    expect(page.locator(".many-foot")).to_contain_text("2 with an error")
    expect(page.locator(".cause").nth(0)).to_be_hidden()
    expect(page.locator("tbody .grid-row[aria-rowindex='9'] .cause")).to_contain_text("parse")
    drawn = page.locator("tbody .grid-row[aria-rowindex='2'] canvas")
    expect(drawn).to_be_visible()
    assert drawn.evaluate(
        "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(Boolean)"
    )

    found = download(page, "all")
    said = ask(address, "POST", "/v1/predict", {"smiles": structures})["results"]
    assert [row["Compound"] for row in found] == [row[0] for row in table]
    for row, result in zip(found, said, strict=True):
        assert bool(row["onggi_error"]) == ("error" in result)
        if "predictions" in result:
            expected = result["predictions"]["solubility"]
            assert float(row["solubility"]) == expected["value"]
            assert [float(row[f"solubility_{end}"]) for end in ("lower", "upper")] == expected[
                "interval"
            ]
            assert row["solubility_inside"] == str(expected["inside"]).lower()


def test_what_is_framed_in_a_plot_is_selected_in_the_table(begin: Opening, address: str) -> None:
    page = begin("many", model=few_tasks(address), predict=tables.answer)
    table = tables.rows(300)
    drop(page, "series.csv", tables.as_csv(table))
    answered(page)
    plot = page.locator("canvas.plot").first
    box = plot.bounding_box()
    assert box is not None
    frame(page, plot, (box["width"] * 0.3, 40), (box["width"] * 0.7, 200))
    chosen = {row["Compound"] for row in download(page, "selected")}
    assert 20 < len(chosen) < 300
    expect(page.locator(".picked")).to_have_text(f"{len(chosen)} selected")
    page.get_by_label("Selected only").check()
    expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", str(len(chosen) + 1))
    assert set(names(page)) <= chosen
    page.get_by_label("Selected only").uncheck()
    # A row that is ticked in the table is one of them, and Alt takes away what is framed.
    first = next(row[0] for row in table if row[0] not in chosen)
    page.get_by_role("searchbox").fill(first)
    page.locator("tbody .grid-row:not([hidden]) .cell-tick").click()
    page.get_by_role("searchbox").fill("")
    assert {row["Compound"] for row in download(page, "selected")} == {*chosen, first}
    page.keyboard.down("Alt")
    frame(page, plot, (box["width"] * 0.3, 40), (box["width"] * 0.7, 200))
    page.keyboard.up("Alt")
    assert [row["Compound"] for row in download(page, "selected")] == [first]


def frame(page: Page, plot: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drags over a plot, in its own pixels."""
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + start[0], box["y"] + start[1])
    page.mouse.down()
    page.mouse.move(box["x"] + end[0], box["y"] + end[1], steps=4)
    page.mouse.up()


def test_the_table_is_walked_by_keys_and_a_row_opens(begin: Opening) -> None:
    page = begin("many")
    page.fill("#many-lines", "CCO ethanol\n\nCCN ethylamine\nCCC propane")
    page.get_by_role("button", name="Predict").click()
    answered(page)
    grid = page.get_by_role("grid")
    grid.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    active = page.locator(f"#{grid.get_attribute('aria-activedescendant')}")
    expect(active).to_contain_text("ethylamine")
    expect(active).to_have_class("cell-name active")
    page.keyboard.press("Space")
    expect(page.locator("tr[aria-selected=true]")).to_have_count(1)
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("tr[aria-selected=true]")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator("tr[aria-selected=true]")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator("#structure")).to_have_value("CCC")
    assert page.evaluate("location.hash") == "#one"
    page.go_back()
    page.locator("td.cell-value").first.click()  # the view is there by now, and takes another
    expect(page.locator("#structure")).to_have_value("CCO")


def test_lights_are_the_readers_own_and_stay(begin: Opening, address: str) -> None:
    page = begin("many", model=few_tasks(address), predict=tables.answer)
    table = tables.rows(60)
    drop(page, "series.csv", tables.as_csv(table))
    answered(page)
    page.get_by_label("Traffic light of logD pH 7.4").click()
    page.select_option("#limits-kind", "high")
    page.get_by_label("good, from").fill("4")
    page.get_by_label("poor, below").fill("5")
    page.get_by_role("button", name="Keep").click()
    expect(page.locator(".notice")).to_contain_text("beyond that of good")
    page.get_by_label("poor, below").fill("2")
    page.get_by_role("button", name="Keep").click()
    for endpoint in ("Solubility pH 7", "LM CLint, human", "hERG IC50"):
        page.get_by_label(f"Traffic light of {endpoint}").click()
        page.select_option("#limits-kind", "none")
        page.get_by_role("button", name="Keep").click()
    page.get_by_label("Traffic lights").select_option("green")
    good = [row[0] for row in table if tables.value("logd", row[1]) >= 4]
    expect(page.locator(".many-foot")).to_contain_text(f"{len(good)} of 60 shown")
    page.get_by_label("Traffic lights").select_option("no_red")
    fair = [row[0] for row in table if tables.value("logd", row[1]) >= 2]
    expect(page.locator(".many-foot")).to_contain_text(f"{len(fair)} of 60 shown")
    page.reload()
    page.wait_for_selector(".opening")
    drop(page, "series.csv", tables.as_csv(table))
    answered(page)
    page.get_by_label("Traffic light of logD pH 7.4").click()
    expect(page.get_by_label("good, from")).to_have_value("4")
    page.get_by_role("button", name="Back to the default").click()
    page.get_by_label("Traffic light of logD pH 7.4").click()
    expect(page.locator("#limits-kind")).to_have_value("between")


def test_the_language_changes_and_the_table_stays(begin: Opening, address: str) -> None:
    page = begin("many", "ko-KR", model=few_tasks(address), predict=tables.answer)
    drop(page, "한글.csv", "화합물명,구조식\n가,CCO\n나,CCN\n".encode("euc-kr"))
    answered(page)
    expect(column(page, "용해도")).to_be_visible()
    assert names(page) == ["가", "나"]
    page.select_option("#lang", "en")
    expect(column(page, "Solubility")).to_be_visible()
    assert names(page) == ["가", "나"]
    assert [row["화합물명"] for row in download(page, "all")] == ["가", "나"]


def test_what_was_measured_is_shown_as_measured(begin: Opening) -> None:
    def with_measured(route: Route) -> None:
        route.fulfill(json=chemists.measured(route.fetch().json()))

    page = begin("many", predict=with_measured)
    page.fill("#many-lines", f"{chemists.COMPOUNDS[0]} propranolol")
    page.get_by_role("button", name="Predict").click()
    answered(page)
    cell = page.locator("td.is-measured").first
    expect(cell).to_contain_text("measured")
    expect(cell.locator("b")).to_have_text("> 182")
    (row,) = download(page, "all")
    assert row["solubility_measured"] == ">182"
    assert float(row["solubility"]) != 182


def test_a_file_may_be_dropped_anywhere(begin: Opening) -> None:
    page = begin("many")
    files = page.evaluate_handle(
        """() => {
          const dropped = new DataTransfer();
          dropped.items.add(new File(["CCO"], "dropped.csv"));
          return dropped;
        }"""
    )
    page.dispatch_event("header.top", "dragover", {"dataTransfer": files})
    expect(page.locator(".view-many")).to_have_class("view view-many drag-over")
    page.dispatch_event("header.top", "drop", {"dataTransfer": files})
    answered(page)
    expect(page.get_by_role("heading", name="dropped.csv")).to_be_visible()


def test_what_is_unclear_is_asked(begin: Opening, address: str) -> None:
    page = begin("many", model=few_tasks(address), predict=tables.answer)
    drop(page, "two.csv", "a,before,after\n1,CCO,CCN\n2,CCC,CCCO\n")
    page.select_option("#many-structure", label="after")
    page.get_by_role("button", name="Predict 2 here").click()
    answered(page)
    expect(page.get_by_label("CCCO")).to_have_count(1)
    page.get_by_role("button", name="Another file").click()
    drop(page, "broken.csv", 'a,smiles\n1,CCO\n2,"CCN\n')
    expect(page.locator(".notice")).to_contain_text("opens in line 3")


def test_a_file_that_is_too_large_becomes_a_job(begin: Opening, address: str) -> None:
    jobs: list[dict[str, object]] = []
    sent: list[dict[str, list[str]]] = []
    seen = threading.Event()

    def batch(route: Route) -> None:
        if route.request.method == "POST":
            sent.append(parse_qs(urlsplit(route.request.url).query))
            jobs.append({"job": "b1", "state": "running", "total": 10_001, "done": 77, "bad": 1})
            route.fulfill(status=202, json=jobs[0])
        else:
            route.fulfill(json={"jobs": jobs})
            if jobs and seen.is_set():
                jobs[0] = {**jobs[0], "state": "done", "done": 10_001}

    page = begin("many", batch=batch)
    page.route("**/v1/batch?*", batch)
    page.route("**/v1/batch/b1/result?*", lambda route: route.fulfill(body="a,b\n"))
    drop(page, "large.csv", tables.as_csv(tables.rows(MANY + 1)))
    page.get_by_role("button", name="Predict as a job").click()
    expect(page.locator(".job")).to_contain_text("77 of 10,001")
    seen.set()
    assert sent == [{"format": ["csv"], "structure": ["SMILES"], "id": ["Compound"]}]
    with page.expect_download() as begun:
        page.get_by_role("button", name="CSV", exact=True).click()
    assert begun.value.suggested_filename == "onggi-b1.csv"


def test_another_release_in_between_is_told(begin: Opening, address: str) -> None:
    answers = iter(("release-7", "release-8"))

    def changing(route: Route) -> None:
        asked = json.loads(route.request.post_data or "")["structures"]
        results = [{"smiles": one["smiles"], "predictions": {}} for one in asked]
        route.fulfill(
            json={"release": next(answers, "release-7"), "version": 7, "results": results}
        )

    page = begin("many", predict=changing)
    drop(page, "series.csv", tables.as_csv(tables.rows(250)))
    answered(page)
    expect(page.locator(".many-bar")).to_contain_text("Two releases answered")
    page.get_by_role("button", name="Predict anew").click()
    expect(page.locator(".many-bar")).not_to_contain_text("Two releases answered")


def test_what_was_stopped_goes_on(begin: Opening, address: str) -> None:
    held: list[Route] = []

    def held_back(route: Route) -> None:
        if len(held) < 2:
            held.append(route)
        else:
            tables.answer(route)

    page = begin("many", model=few_tasks(address), predict=held_back)
    drop(page, "series.csv", tables.as_csv(tables.rows(500)))
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".many-bar")).to_contain_text("0 of 500 predicted")
    page.get_by_role("button", name="Go on").click()
    answered(page)
    assert all(row["logd"] for row in download(page, "all"))


@pytest.mark.parametrize("width", [360, 1024])
def test_nothing_leaves_the_screen_sideways(begin: Opening, width: int) -> None:
    page = begin("many", width=width)
    page.fill("#many-lines", "CCO ethanol\nCCN")
    page.get_by_role("button", name="Predict").click()
    answered(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto(page.url.replace("#many", "#model"))
    page.wait_for_selector(".history")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper_all_years_of_the_model_fit(begin: Opening) -> None:
    page = begin("model", width=718)  # what A4 leaves between its margins
    page.wait_for_selector(".coverage")
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    right = page.evaluate("document.querySelector('.coverage').getBoundingClientRect().right")
    assert right <= 718


def test_the_model_shows_its_card_and_why_releases_came_and_went(begin: Opening) -> None:
    page = begin("model")
    expect(page.get_by_role("heading", name="Release 7")).to_be_visible()
    row = page.locator(".endpoints tr", has_text="Solubility pH 7").first
    expect(row).to_contain_text("2,140")
    error = chemists.error_of("solubility", 0.8)
    label = f"Error {error:.3f}; alone 0.400: {error / 0.4:.0%} of it".replace("%", " %")
    expect(row.locator("svg")).to_have_attribute("aria-label", label)
    before = next(
        head["before"] for head in sites.heads("release-7") if head["endpoint"] == "solubility"
    )
    expect(row.locator("td").nth(5)).to_have_text(f"{before:.3f}")
    row.get_by_role("button").click()
    expect(page.locator("#more-solubility")).to_be_visible()
    history = page.locator(".history > li")
    expect(history.nth(0)).to_contain_text("refused")
    expect(history.nth(0)).to_contain_text("0.280 -> 0.420")
    expect(history.nth(0)).to_contain_text("1 worse")
    expect(history.nth(1)).to_contain_text("in use")
    expect(history.nth(6)).to_be_hidden()
    page.get_by_role("button", name="1 earlier ones").click()
    expect(history.nth(6)).to_be_visible()
    expect(page.locator(".model-site")).to_contain_text("351 MB")
    page.select_option("#lang", "ko")
    expect(history.nth(0)).to_contain_text("거부됨")


def test_a_year_without_measurements_is_a_gap_on_the_map(begin: Opening) -> None:
    known = {
        "compounds": 1256,
        "measurements": 1632,
        "newest": "2026-11-18",
        "by_year": {"2023": 900, "2026": 356},
    }
    page = begin("model", site={**sites.site(), "endpoints": {"solubility": known}})
    years = page.locator(".coverage thead th.year")
    expect(years).to_have_text(["2023", "2024", "2025", "2026"])
    expect(page.locator(".coverage tbody td.shade")).to_have_text(["900", "", "", "356"])


def test_the_model_does_without_what_the_site_does_not_tell(begin: Opening) -> None:
    page = begin("model", site={"releases": [], "contribution": _NOTHING, "endpoints": {}})
    expect(page.get_by_text("No release has come yet.")).to_be_visible()
    expect(page.locator(".coverage")).to_have_count(0)
    expect(page.locator(".endpoints th", has_text="Previous")).to_have_count(0)


_NOTHING = {"rounds": 0, "updates": 0, "bytes_sent": 0, "last_sent": None}

READS = [
    ("a,smiles\n1,CCO\n", "x.csv", 1, 0, ["a", "smiles"], 1),
    ("smiles;name\nCCO;ethanol\nCCN;amine\n", "x.csv", 0, 1, ["smiles", "name"], 2),
    ("id\tstructure\nx\tC(=O)O\n", "x.txt", 1, 0, ["id", "structure"], 1),
    ("CCO,1\nCCN,2\nc1ccccc1,3\n", "x.csv", 0, 1, ["1", "2"], 3),
    ('smiles,note\r\nCCO,"a, ""b""\r\nc"\r\n\r\nCCN,\r\n', "x.csv", 0, -1, ["smiles", "note"], 2),
    ("CCO ethanol\nCCN\n", "x.smi", 0, 1, ["SMILES", "Name"], 2),
    ("CCO\nCCN\n", "", 0, -1, ["SMILES"], 2),
    ("SMILES name\nCCO a b\n", "x.smi", 0, 1, ["SMILES", "Name"], 1),
    ("﻿구조,번호\nCCO,7\n", "x.csv", 0, 1, ["구조", "번호"], 1),
    ("b,c,n\nCCO,1,x\nCCN,2,y\n", "x.csv", 0, 1, ["b", "c", "n"], 2),
]


@pytest.fixture(scope="module")
def reader(browser: Browser, address: str) -> Iterator[Page]:
    """A page from which the modules of the table are tried."""
    page = browser.new_page()
    stand_in(page)
    page.goto(f"{address}/#many")
    page.wait_for_selector(".opening", timeout=WHOLE_MS)
    yield page
    page.close()


@pytest.mark.parametrize(("text", "name", "structure", "own_id", "columns", "total"), READS)
def test_a_file_is_read(
    reader: Page, text: str, name: str, structure: int, own_id: int, columns: list[str], total: int
) -> None:
    read = """async ([text, name]) => {
      const { readText } = await import("/static/many/read.js");
      return readText(text, name);
    }"""
    sheet = reader.evaluate(read, [text, name])
    assert (sheet["structure"], sheet["id"], sheet["sure"]) == (structure, own_id, True)
    assert sheet["columns"] == columns
    assert len(sheet["rows"]) == sheet["total"] == total
    assert {len(row) for row in sheet["rows"]} == {len(columns)}


def test_an_sdf_is_read_with_its_fields(reader: Page) -> None:
    block = "{}\n  x\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n"
    text = (
        block.format("one") + "> <IC50>\n1.5\n\n$$$$\n" + block.format("two").replace("\n", "\r\n")
    )
    sheet = reader.evaluate(
        """async (text) => (await import("/static/many/read.js")).readText(text, "x.sdf")""", text
    )
    assert sheet["columns"] == ["Name", "IC50"]
    assert sheet["rows"] == [["one", "1.5"], ["two", ""]]
    assert [one.splitlines()[-1] for one in sheet["blocks"]] == ["M  END", "M  END"]


SMILES = {
    "CCO": True,
    "c1ccccc1": True,
    "C%10CC%10": True,
    "[13CH3][N+](C)(C)C.[Cl-]": True,
    "F/C=C\\F": True,
    "Aspirin": False,
    "C1CC": False,
    "CC(": False,
    "CHEMBL25": False,
    "12.5": False,
    "": False,
    "OC-00123": False,
}


def test_a_smiles_is_told_from_a_name(reader: Page) -> None:
    found = reader.evaluate(
        """async (texts) => {
          const { looksLikeSmiles } = await import("/static/many/read.js");
          return texts.map(looksLikeSmiles);
        }""",
        list(SMILES),
    )
    assert dict(zip(SMILES, found, strict=True)) == SMILES


LIGHTS = [
    ("solubility", 150, "green"),
    ("solubility", 50, "amber"),
    ("solubility", 5, "red"),
    ("herg_ic50", 0.5, "red"),
    ("hlm_clint", 5, "green"),
    ("logd", 2, "green"),
    ("logd", -1, "red"),
    ("ames", 0.9, "red"),
    ("pk_cl_iv_rat", 10, "green"),  # 18 % of the blood's flow through the liver
    ("hlm_clint_kg", 60, "red"),
    ("pk_vss_rat", 3, "none"),
    ("private:pxr", 1, "none"),
]


def test_the_lights_know_which_way_is_good(reader: Page) -> None:
    found = reader.evaluate(
        """async (cases) => {
          const { defaultLimits, lightOf } = await import("/static/many/lights.js");
          const names = ["none", "red", "amber", "green"];
          return cases.map(([endpoint, value]) => names[lightOf(defaultLimits(endpoint), value)]);
        }""",
        [[endpoint, value] for endpoint, value, _ in LIGHTS],
    )
    assert found == [light for _, _, light in LIGHTS]


def test_an_axis_goes_by_the_endpoints_transform(reader: Page) -> None:
    found = reader.evaluate(
        """async () => {
          const { axis } = await import("/static/many/scales.js");
          const log = axis("neg_log10_molar", [0.1, 1, 10, 1000, NaN]);
          const plain = axis("identity", [-1, 0, 4]);
          const one = axis("identity", [2, 2]);
          return { middle: log.value(log.at(10)), logTicks: log.ticks, ticks: plain.ticks,
            zero: axis("log10_plus_1", [0, 9, 99]).at(0), missing: Number.isNaN(log.at(NaN)),
            one: one.at(2) };
        }"""
    )
    assert found["middle"] == pytest.approx(10)
    assert found["logTicks"] == [0.1, 1, 10, 100, 1000]
    assert found["ticks"] == [-1, 0, 1, 2, 3, 4]
    assert 0 < found["zero"] < 0.1
    assert found["missing"] is True
    assert 0 <= found["one"] <= 1
