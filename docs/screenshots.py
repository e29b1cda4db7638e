"""Pictures of MLflow's pages for the README: this project's runs, and three trials compared, in a real browser.

make ui                      # in one terminal, after `dvc repro`
python docs/screenshots.py   # in another; needs Debian's chromium
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
FILTER = "tags.`lus.kind` = 'trial' and tags.`lus.part` = 'all' and tags.`lus.state` = 'finished'"
WIDTH, HEIGHT = 1500, 1000


def experiment(address: str) -> str:
    """The identity of this project's experiment."""
    import mlflow

    found = mlflow.MlflowClient(address).get_experiment_by_name("lus")
    if found is None:
        raise SystemExit("no runs yet: run dvc repro first")
    return str(found.experiment_id)


def take(page: Page, folder: Path, address: str) -> None:
    """Look for the finished trials on the whole cohort, choose the three best, compare them; store the pictures."""
    query = {
        "searchFilter": FILTER,
        "orderByKey": "metrics.`loss`",
        "orderByAsc": "true",
        "compareRunsMode": "TABLE",
    }
    page.goto(f"{address}/#/experiments/{experiment(address)}/runs?{urlencode(query)}")
    boxes = page.get_by_role("gridcell").get_by_role("checkbox")
    boxes.first.wait_for(timeout=60_000)
    close = page.get_by_role("button", name="Close")
    if close.count():
        close.first.click()
    for place in range(3):
        boxes.nth(place).check()
    page.wait_for_timeout(2000)
    page.screenshot(path=folder / "mlflow-trials.png")
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Run details").wait_for(timeout=60_000)
    page.get_by_text("Show diff only").first.click()
    page.get_by_text("Parameters", exact=True).scroll_into_view_if_needed()
    page.wait_for_timeout(2000)
    page.screenshot(path=folder / "mlflow-compare.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="http://127.0.0.1:5000")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=arguments.browser, args=FLAGS, viewport={"width": WIDTH, "height": HEIGHT}
        )
        take(context.pages[0], arguments.folder, arguments.address)
        context.close()


if __name__ == "__main__":
    main()
