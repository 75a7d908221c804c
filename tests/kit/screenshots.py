"""Makes the pictures of the page in the documentation: `python -m tests.kit.screenshots`."""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, Route, ViewportSize

from tests.kit import chemists, tables
from tests.kit.visiting import chromium, serving, stand_in

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
_QUINOLINE = "CC(C)NCC(O)COc1ccc(Cl)c2cnccc12"


@dataclass(frozen=True)
class Scene:
    """One picture: who looks, and what they did before."""

    name: str
    locale: str
    theme: Literal["light", "dark"]
    width: int
    height: int
    act: Callable[[Page], None]


def _one(page: Page) -> None:
    page.fill("#structure", chemists.COMPOUNDS[0])
    page.wait_for_selector(".near li svg")


def _what_if(page: Page) -> None:
    _one(page)
    page.click("#keep")
    page.fill("#structure", _QUINOLINE)
    page.click('[data-endpoint="hlm_clint"] .pick')
    page.wait_for_selector("figure + figure .halo circle")


def _many(page: Page) -> None:
    page.evaluate("location.hash = '#many'")
    changes = (("", ""), ("Cl", "F"), ("F", "Cl"), ("C(C)C", "CC"), ("OC", "NC"), ("N(C)", "NC"))
    made = dict.fromkeys(one.replace(*pair) for pair in changes for one in chemists.COMPOUNDS)
    rows = [[f"HB-{number:04}", one] for number, one in enumerate(made, start=2101)]
    content = tables.as_csv(rows, ("Compound", "SMILES")).encode()
    page.set_input_files(
        "#many-file", {"name": "series-7.csv", "mimeType": "text/csv", "buffer": content}
    )
    page.wait_for_selector(".grid")
    page.wait_for_selector(".many-bar progress", state="detached")
    page.locator(".plots select").nth(1).select_option("logd")
    box = page.locator("canvas.plot").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.45 * box["width"], box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 190)
    page.mouse.up()
    page.wait_for_timeout(1500)  # until the structures in sight are drawn


def _model(page: Page) -> None:
    page.evaluate("location.hash = '#model'")
    page.wait_for_selector(".history")


SCENES = (
    Scene("page-en-light", "en-GB", "light", 1440, 1240, _one),
    Scene("page-ko-dark", "ko-KR", "dark", 1440, 1240, _one),
    Scene("page-en-dark", "en-GB", "dark", 1440, 900, _what_if),
    Scene("page-ko-light", "ko-KR", "light", 1440, 900, _what_if),
    Scene("many-en-light", "en-GB", "light", 1440, 900, _many),
    Scene("many-ko-dark", "ko-KR", "dark", 1440, 900, _many),
    Scene("model-en-dark", "en-GB", "dark", 1440, 1400, _model),
    Scene("model-ko-light", "ko-KR", "light", 1440, 1400, _model),
)


def take(browser: Browser, address: str, scene: Scene, folder: Path) -> None:
    """Makes one picture."""
    viewport = ViewportSize(width=scene.width, height=scene.height)
    context = browser.new_context(
        locale=scene.locale,
        color_scheme=scene.theme,
        viewport=viewport,
    )
    page = context.new_page()
    stand_in(page)
    page.route("**/v1/predict", _with_measured)
    page.goto(address)
    page.wait_for_selector(".summary h1")
    scene.act(page)
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.wait_for_timeout(500)
    page.screenshot(path=folder / f"{scene.name}.png")
    page.goto("about:blank")
    context.close()


def _with_measured(route: Route) -> None:
    route.fulfill(json=chemists.measured(route.fetch().json()))


def main(folder: Path) -> None:
    """Makes all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as root,
        serving(Path(root)) as address,
        chromium() as browser,
    ):
        for scene in SCENES:
            take(browser, address, scene, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
