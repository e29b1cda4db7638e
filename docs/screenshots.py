"""Pictures for the README, in a real browser: MLflow's pages on this project's runs, the service's own page, the page
of the checks, and what `lus audit` prints.

make ui                                    # in one terminal, after `dvc repro`
make serve                                 # in another
python docs/screenshots.py                 # in a third; needs Debian's chromium
python docs/screenshots.py --only service --clip phantom/p17-c1.avi
python docs/screenshots.py --only checks   # makes a phantom with damaged clips; needs neither server
python docs/screenshots.py --only audit    # makes an evaluation that leaks, in minutes; needs neither server
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import cv2
import numpy as np
import pandas as pd
import yaml
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

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


def choose_columns(page: Page) -> None:
    """Show the loss in the table of runs, in place of what says nothing here, and names at their full length."""
    page.get_by_role("button", name="Columns").first.click()
    for name in ("Source", "Models", "loss", "accuracy"):
        page.locator(".du-bois-light-tree").get_by_text(name, exact=True).first.click()
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    names = page.locator(".ag-header-cell").filter(has_text="Run Name")
    names.locator(".ag-header-cell-resize").dblclick(force=True)


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
    choose_columns(page)
    for place in range(3):
        boxes.nth(place).check()
    page.wait_for_timeout(2000)
    page.screenshot(path=folder / "mlflow-trials.png", clip={"x": 0, "y": 0, "width": WIDTH, "height": 460})
    quantize(folder / "mlflow-trials.png")
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Run details").wait_for(timeout=60_000)
    page.get_by_text("Show diff only").first.click()
    page.get_by_text("Parameters", exact=True).scroll_into_view_if_needed()
    page.wait_for_timeout(2000)
    page.screenshot(path=folder / "mlflow-compare.png")
    quantize(folder / "mlflow-compare.png")


def read(clip: Path) -> list[np.ndarray]:
    """The frames of a clip."""
    video = cv2.VideoCapture(str(clip))
    pictures = []
    while (taken := video.read())[0]:
        pictures.append(taken[1])
    return pictures


def write(pictures: Sequence[np.ndarray], out: Path) -> Path:
    """Frames as a clip."""
    height, width = pictures[0].shape[:2]
    writer = cv2.VideoWriter(str(out), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 20, (width, height))
    for picture in pictures:
        writer.write(picture)
    writer.release()
    return out


def store(page: Page, path: Path) -> None:
    """The whole page as a picture, in a palette's colours: a third of the bytes."""
    page.screenshot(path=path, full_page=True)
    quantize(path)


def store_top(page: Page, path: Path, last: str) -> None:
    """The page down to the end of an element, in a palette's colours."""
    bottom = page.locator(last).evaluate("element => element.getBoundingClientRect().bottom + scrollY")
    width = page.evaluate("innerWidth")
    page.screenshot(path=path, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": bottom + 16})
    quantize(path)


def quantize(path: Path) -> None:
    """Store a picture in a palette's colours."""
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
        page.locator("#file").set_input_files(write(read(clip)[:8], Path(scratch) / "short.avi"))
        page.locator("#problem").wait_for(timeout=60_000)
    store(page, folder / "service-refusal.png")


def lus(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a verb in a folder, with nothing of the user's tracking; what it printed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "OPTUNA_"))}
    command = [str(Path(sys.executable).with_name("lus")), *words]
    return subprocess.run(
        command, cwd=folder, env=own | more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def build(folder: Path, stages: Sequence[str]) -> None:
    """Run stages in a folder."""
    for stage in stages:
        done = lus(folder, *stage.split())
        if done.returncode:
            raise SystemExit(f"lus {stage}: {done.stdout}")


def parameters(folder: Path, **changes: dict[str, object]) -> None:
    """The project's parameters, with changes, into a folder."""
    params = yaml.safe_load((Path(__file__).parents[1] / "params.yaml").read_text())
    for section, values in changes.items():
        params[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def damaged(folder: Path) -> None:
    """The checks of a phantom with four damaged clips: too short, still, dark, and with a cut."""
    parameters(folder)
    build(folder, ["simulate clips"])
    clips = sorted((folder / "clips").glob("*.avi"))
    write(read(clips[4])[:9], clips[4])
    write(read(clips[21])[:1] * 28, clips[21])
    write([(picture * 0.05).astype(np.uint8) for picture in read(clips[40])], clips[40])
    whole = read(clips[60])
    other = [cv2.resize(picture, whole[0].shape[1::-1]) for picture in read(clips[75])]
    write(whole[:14] + other[:14], clips[60])
    build(folder, ["cohort clips build/cohort.csv", "frames build/cohort.csv build/frames build/checks"])


def leaking(folder: Path) -> None:
    """An evaluation by the rule of the published one: folds by clip, and one head carried through them."""
    parameters(
        folder,
        simulate={"patients": 10, "clips": 3, "frames": 24},
        frames={"side": 71},
        features={"seen": 71},
        search={"trials": 2, "epochs": 6, "units": [32], "dense": [32], "max_dense_layers": 1},
        folds={"protocol": "published"},
        evaluate={"bootstrap": 200},
    )
    build(folder, ["simulate phantom", "cohort phantom build/cohort.csv"])
    names = sorted(Path(path).name for path in pd.read_csv(folder / "build/cohort.csv")["path"])
    tests = {str(fold): names[fold::5] for fold in range(5)}
    folds = {fold: {"train": sorted(set(names) - set(test)), "test": test} for fold, test in tests.items()}
    (folder / "folds").mkdir()
    (folder / "folds/published.json").write_text(json.dumps(folds))
    features = "build/features/xception-20"
    build(folder, ["frames build/cohort.csv build/frames build/checks", f"features {features} build/frames"])
    build(folder, [f"search {features} build/search/xception-20", "evaluate build/evaluation"])


def take_checks(page: Page, folder: Path) -> None:
    """Store the page of the checks, down to the last clip that is not usable."""
    with tempfile.TemporaryDirectory() as scratch:
        damaged(Path(scratch))
        page.set_viewport_size({"width": 1200, "height": 800})
        page.goto((Path(scratch) / "build/checks/index.html").as_uri())
        store_top(page, folder / "checks.png", "section:has(> .wide)")


def take_audit(page: Page, folder: Path) -> None:
    """Store what `lus audit` prints of an evaluation that leaks."""
    columns = 110
    with tempfile.TemporaryDirectory() as scratch:
        leaking(Path(scratch))
        printed = lus(Path(scratch), "audit", FORCE_COLOR="1", COLUMNS=str(columns)).stdout
    console = Console(record=True, width=columns, file=io.StringIO())
    console.print(Text.from_ansi(f"$ lus audit\n{printed}"))
    style = "margin: 16px 20px 0; font: 15px monospace; color: {foreground}"
    form = f'<body style="margin: 0; background: {{background}}"><pre style="{style}">{{code}}</pre></body>'
    page.set_viewport_size({"width": 1040, "height": 300})
    page.set_content(console.export_html(theme=MONOKAI, code_format=form, inline_styles=True))
    store_top(page, folder / "audit.png", "pre")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address", default="http://127.0.0.1:5000")
    parser.add_argument("--service", default="http://127.0.0.1:3000")
    parser.add_argument("--clip", type=Path, default=Path("phantom/p01-c1.avi"))
    parser.add_argument("--only", choices=["mlflow", "service", "checks", "audit"])
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=arguments.browser, args=FLAGS, viewport={"width": WIDTH, "height": HEIGHT}
        )
        page = context.pages[0]
        if arguments.only in {None, "mlflow"}:
            take_mlflow(page, arguments.folder, arguments.address)
        if arguments.only in {None, "service"}:
            take_service(page, arguments.folder, arguments.service, arguments.clip)
        if arguments.only in {None, "checks"}:
            take_checks(page, arguments.folder)
        if arguments.only in {None, "audit"}:
            take_audit(page, arguments.folder)
        context.close()


if __name__ == "__main__":
    main()
