"""The page as a visitor gets it: the real process, and a Chromium that asks nobody by itself."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.kit import chemists, sites

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 120_000  # an end to waiting, not a limit of any test: machines are shared
_PROGRAM = """
import signal, sys, threading
from pathlib import Path
from agent.config import ServeSection
from agent.serving import server

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
section = ServeSection(threads=1).model_copy(update={"port": 0})
server.serve(Path(sys.argv[1]), Path(sys.argv[2]), section, stop, "Alpha Pharma")
"""
_EVERYTHING = {
    "name": "local",
    "scopes": ["predict", "data", "admin"],
    "access": "open",
    "shows": ["neighbours", "percentiles", "site"],
}


@contextlib.contextmanager
def serving(root: Path) -> Iterator[str]:
    """Runs the process with the release of `chemists`, and says where it answers.

    Args:
        root: An empty folder for its releases and its state.
    """
    state = root / "state"
    state.mkdir()
    chemists.build(root / "releases")
    command = [sys.executable, "-c", _PROGRAM, str(root / "releases"), str(state)]
    with subprocess.Popen(["env", f"HOME={root}", *command]) as process:
        try:
            status: dict[str, object] = {}
            while not status.get("ready"):
                assert process.poll() is None
                time.sleep(0.05)
                with contextlib.suppress(FileNotFoundError):
                    status = json.loads((state / "status.json").read_bytes())
            yield f"http://127.0.0.1:{status['port']}"
        finally:
            process.terminate()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Runs the system's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "No Chromium is installed; install one, or leave these out: -m 'not browser'."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        expect.set_options(timeout=PATIENCE_MS)
        yield browser
        browser.close()


def stand_in(page: Page) -> None:
    """Answers for the site's reference data, of which the small release has none."""
    page.route("**/v1/me", lambda route: route.fulfill(json=_EVERYTHING))
    page.route("**/v1/percentiles", lambda route: route.fulfill(json=chemists.percentiles()))
    page.route("**/v1/neighbours", lambda route: route.fulfill(json=chemists.neighbours()))
    page.route("**/v1/site", lambda route: route.fulfill(json=sites.site()))
    page.route("**/v1/batch", lambda route: route.fulfill(json={"jobs": []}))
