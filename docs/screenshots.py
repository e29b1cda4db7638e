"""Pictures for the README, in a real browser: MLflow's pages on this project's runs, and the service's own page.

make ui                                    # in one terminal, after `dvc repro`
make serve                                 # in another
python docs/screenshots.py                 # in a third; needs Debian's chromium
python docs/screenshots.py --only service --clip phantom/p05-c1.avi
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from urllib.parse import urlencode

import cv2
from PIL import Image
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


def take_mlflow(page: Page, folder: Path, address: str) -> None:
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


def cut(clip: Path, frames: int, out: Path) -> Path:
    """The beginning of a clip, as a clip of its own."""
    video = cv2.VideoCapture(str(clip))
    pictures = [video.read()[1] for _ in range(frames)]
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(out), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 20, (width, height))
    for picture in pictures:
        writer.write(picture)
    writer.release()
    return out


def store(page: Page, path: Path) -> None:
    """The whole page as a picture, in a palette's colours: a third of the bytes."""
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as picture:
        smaller = picture.convert("RGB").quantize(256)
    smaller.save(path, optimize=True)


def take_service(page: Page, folder: Path, address: str, clip: Path) -> None:
    """Give a clip, and the beginning of it, which is too short; store the pictures."""
    page.set_viewport_size({"width": 1100, "height": 760})
    page.goto(address)
    page.get_by_text("Model card").first.wait_for()
    page.locator("#file").set_input_files(clip)
    page.locator("#result").wait_for(timeout=60_000)
    # The frame that says most.
    found = page.locator("#table tbody tr").evaluate_all("rows => rows.map((row) => Number(row.lastChild.textContent))")
    page.locator("#frame").fill(str(found.index(max(found))))
    page.wait_for_timeout(1000)
    store(page, folder / "service.png")
    with tempfile.TemporaryDirectory() as scratch:
        page.locator("#file").set_input_files(cut(clip, 8, Path(scratch) / "short.avi"))
        page.locator("#problem").wait_for(timeout=60_000)
    store(page, folder / "service-refusal.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="http://127.0.0.1:5000")
    parser.add_argument("--service", default="http://127.0.0.1:3000")
    parser.add_argument("--clip", type=Path, default=Path("phantom/p01-c1.avi"))
    parser.add_argument("--only", choices=["mlflow", "service"])
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=arguments.browser, args=FLAGS, viewport={"width": WIDTH, "height": HEIGHT}
        )
        page = context.pages[0]
        if arguments.only != "service":
            take_mlflow(page, arguments.folder, arguments.address)
        if arguments.only != "mlflow":
            take_service(page, arguments.folder, arguments.service, arguments.clip)
        context.close()


if __name__ == "__main__":
    main()
