"""The notebooks in a real JupyterLab: a browser runs them, moves a control of each explorer and sees the figure change.

One server and one Chromium for all of them. Debian has both halves: apt-get install chromium chromium-driver.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="the browser is driven by selenium: pip install 'ltkit[test]'")

from filelock import FileLock
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path.name for path in ROOT.glob("notebooks/*.ipynb"))
BINARIES = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "chromium-driver": ("chromedriver", "chromium.chromedriver"),
}
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--no-default-browser-check", "--no-proxy-server", "--window-size=1300,1500"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
)
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page, seen or not
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}

# What a browser's script may do here: JupyterLab shows its application to the page under --expose-app-in-browser.
OPEN = """
const [path, done] = arguments, app = window.jupyterapp;
app.commands.execute('docmanager:open', {path: path, factory: 'Notebook'}).then(async (panel) => {
  await panel.context.ready;
  await panel.sessionContext.ready;
  app.shell.activateById(panel.id);
  window.panel = panel;
  done(null);
}).catch((error) => done(String(error)));
"""
RUN_ALL = """
window.ran = null;
window.jupyterapp.commands.execute('notebook:run-all-cells')
  .then((whole) => { window.ran = whole; }).catch((error) => { window.ran = String(error); });
"""
# Asked again and again: a call that waits for the cells would run into the driver's own time limit.
RAN = "return window.ran === null ? '' : String(window.ran);"
CELLS = """
const cells = window.panel.content.model.cells;
return JSON.stringify(Array.from({length: cells.length}, (_, place) => cells.get(place).toJSON()));
"""
CELL = "return window.panel.content.widgets[arguments[0]].node;"
TABS = "return Array.from(window.jupyterapp.shell.widgets('main')).map((one) => one.title.label);"
CLOSE = """
const done = arguments[0], panel = window.panel;
panel.context.save().then(() => panel.sessionContext.shutdown()).then(() => { panel.close(); done(null); })
  .catch((error) => done(String(error)));
"""


def binaries() -> dict[str, str]:
    """Where the browser and its driver are; the test is skipped where one is missing."""
    found = {package: next(filter(None, map(shutil.which, names)), None) for package, names in BINARIES.items()}
    if missing := [package for package, path in found.items() if path is None]:
        why = os.environ.get("LTKIT_NO_BROWSER") or "Debian: apt-get install chromium chromium-driver"
        pytest.skip(f"no {' and no '.join(missing)} on this machine ({why})")
    return {package: str(path) for package, path in found.items()}


@dataclass
class Lab:
    """A JupyterLab that serves a copy of the notebooks."""

    url: str
    token: str
    folder: Path

    def answers(self) -> bool:
        request = urllib.request.Request(f"{self.url}/api/status", headers={"Authorization": f"token {self.token}"})
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status == 200
        return False


def _address(runtime: Path) -> str:
    """Where the server answers, from the file that it writes; before that a port where nobody does."""
    for file in runtime.glob("jpserver-*.json"):
        with contextlib.suppress(ValueError, KeyError):  # half-written
            return f"http://127.0.0.1:{json.loads(file.read_text())['port']}"
    return "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, smoke_store: Path) -> Iterator[Lab]:
    binaries()
    place = tmp_path_factory.mktemp("jupyterlab")
    shutil.copytree(ROOT / "notebooks", place / "notebooks", ignore=shutil.ignore_patterns(".*"))
    for name, settings in SETTINGS.items():
        file = place / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    token = secrets.token_hex(16)
    own = {
        name: str(place / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    environment = {**os.environ, **own, "IPYTHONDIR": str(place / "ipython"), "LTKIT_STORE": str(smoke_store)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment.pop("LTKIT_HEADLESS", None)
    words = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"),
        *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
        *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={place / 'notebooks'}"),
        *(f"--LabApp.user_settings_dir={place / 'settings'}", f"--LabApp.workspaces_dir={place / 'workspaces'}"),
        *("--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
    ]
    log = place / "jupyterlab.log"
    with log.open("w") as stream:
        server = subprocess.Popen(words, env=environment, cwd=place, stdout=stream, stderr=subprocess.STDOUT)
    runtime, until = Path(own["JUPYTER_RUNTIME_DIR"]), time.monotonic() + 180
    try:
        while not (found := Lab(_address(runtime), token, place / "notebooks")).answers():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.3)
        yield found
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def browser(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    where = binaries()
    options = webdriver.ChromeOptions()
    options.binary_location = where["chromium"]
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(where["chromium-driver"]))
    try:
        driver.set_script_timeout(100)
        driver.get(f"{lab.url}/lab?token={lab.token}")
        WebDriverWait(driver, 120).until(
            lambda d: d.execute_script("return Boolean(window.jupyterapp && document.querySelector('.jp-DirListing'))")
        )
        driver.execute_async_script("window.jupyterapp.restored.then(() => arguments[0](null))")
        yield driver
    finally:
        driver.quit()


@contextlib.contextmanager
def opened(browser: webdriver.Chrome, notebook: str) -> Iterator[None]:
    """The notebook in a tab of its own, with a kernel of its own."""
    assert browser.execute_async_script(OPEN, notebook) is None
    try:
        yield
    finally:
        closed = browser.execute_async_script(CLOSE)
    assert closed is None


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_notebook_runs_and_its_explorers_answer(
    notebook: str, browser: webdriver.Chrome, smoke_store: Path, tmp_path: Path
):
    browser.get_log("browser")  # what the page said before
    with opened(browser, notebook):
        with FileLock(f"{smoke_store}.{Path(notebook).stem}.lock"):  # one worker trains
            browser.execute_script(RUN_ALL)
            whole = WebDriverWait(browser, 800, 0.3).until(lambda _: browser.execute_script(RAN))
        ran = cells(browser)
        assert not errors(ran)
        assert whole == "true"
        assert all(cell["execution_count"] for cell in ran if cell["cell_type"] == "code")
        explorers = [place for place, cell in enumerate(ran) if "explore" in "".join(cell["source"]) and widgets(cell)]
        assert explorers
        for place in explorers:
            box = browser.execute_script(CELL, place)
            browser.execute_script("arguments[0].scrollIntoView()", box)
            try:
                before = WebDriverWait(browser, 60).until(lambda _, box=box: picture(box))
                assert move(box), "no control has more than one value"
                WebDriverWait(browser, 60).until(lambda _, box=box, old=before: picture(box) not in ("", old))
            finally:
                photograph(browser, f"{Path(notebook).stem}-{place}", tmp_path)
        severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert not severe


def test_a_linked_word_opens_the_glossary(browser: webdriver.Chrome):
    with opened(browser, NOTEBOOKS[0]):
        # JupyterLab puts a token between a link's path and its #word, when it has rendered the cell.
        find = 'return window.panel.node.querySelector(\'a[href*="glossary.md"][href$="#ticket"]\');'
        link = WebDriverWait(browser, 60).until(lambda _: browser.execute_script(find))
        browser.execute_script("arguments[0].click()", link)
        WebDriverWait(browser, 60).until(lambda _: "glossary.md" in browser.execute_script(TABS))


def cells(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """The cells of the open notebook, outputs and all."""
    return json.loads(browser.execute_script(CELLS))


def errors(found: list[dict[str, Any]]) -> list[str]:
    """What went wrong, cell by cell."""
    outputs = [output for cell in found for output in cell.get("outputs", [])]
    return [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]


def widgets(cell: dict[str, Any]) -> bool:
    """Does the cell show a widget?"""
    return any(
        "application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in cell.get("outputs", [])
    )


def picture(box: WebElement) -> str:
    """What the explorer shows below its controls: its images, or its text where it has none; "" while it draws."""
    with contextlib.suppress(StaleElementReferenceException):  # drawn anew between two of these questions
        shown = box.find_elements(By.CSS_SELECTOR, ".jupyter-widgets .jp-OutputArea-output")
        images = [image.get_attribute("src") or "" for one in shown for image in one.find_elements(By.TAG_NAME, "img")]
        return "".join(images or [one.get_attribute("innerHTML") or "" for one in shown])
    return ""


def move(box: WebElement) -> str:
    """Moves the first control that has more than one value, as a reader would; its name."""
    for control in box.find_elements(By.CSS_SELECTOR, ".widget-dropdown select, .widget-slider .noUi-handle"):
        if control.tag_name != "select":
            control.send_keys(Keys.ARROW_RIGHT)
            return "slider"
        if len(Select(control).options) > 1:
            name = control.accessible_name
            assert name, "a screen reader finds no name for a control"
            Select(control).select_by_index(1)
            return name
    return ""


def photograph(browser: webdriver.Chrome, name: str, folder: Path) -> None:
    """A screenshot, in LTKIT_SCREENSHOTS where that names a folder."""
    kept = Path(os.environ.get("LTKIT_SCREENSHOTS") or folder)
    kept.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(kept / f"{name}.png"))


def test_only_with_its_token_the_server_answers(lab: Lab):
    assert lab.answers()
    assert not Lab(lab.url, "", lab.folder).answers()
