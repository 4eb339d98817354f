"""Draw the pictures of docs/tutorial.md from the report of the small example.

    uv run stagecast run --config configs/example/shop.yaml --output build/tutorial
    uv run --group browser python scripts/tutorial_pictures.py build/tutorial

Needs chromium. A test holds each picture under 300 kB.
"""

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from features.storage.runs import run_folder
from features.storage.scores_store import read_current

DOCS = Path(__file__).parent.parent / "docs"
WIDE, TALLEST = 1200, 900
# Sections of the report, and how many pixels of each are shown: to the end of a chart or table.
SECTIONS = {"glance": 700, "moves": 760, "value": 768, "campaigns": 820}


def draw(report: Path) -> dict[str, Image.Image]:
    """The upper part of each section, in 256 colours."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("no chromium: apt-get install -y chromium")
    pictures = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(
            viewport={"width": WIDE, "height": TALLEST},
            color_scheme="light",
            reduced_motion="reduce",
        )
        page.goto(report.absolute().as_uri())
        page.wait_for_selector("html[data-ready]")
        for section, height in SECTIONS.items():
            box = page.evaluate(
                "id => { const b = document.getElementById(id).getBoundingClientRect();"
                " return {x: b.x, y: b.y + scrollY, width: b.width, height: b.height}; }",
                section,
            )
            clip = {**box, "height": min(box["height"], height)}
            shot = page.screenshot(full_page=True, clip=clip)
            pictures[section] = Image.open(io.BytesIO(shot)).convert("RGB").quantize(256)
        browser.close()
    return pictures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/tutorial.md.")
    parser.add_argument("output", type=Path, help="output folder of a run")
    output = parser.parse_args().output
    run = read_current(output).run.run_id
    for section, picture in draw(run_folder(output, run) / "report.html").items():
        target = DOCS / f"tutorial-{section}.png"
        picture.save(target, optimize=True)
        print(f"{target}: {target.stat().st_size:,} bytes")
