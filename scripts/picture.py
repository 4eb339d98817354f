"""Draw docs/report.png, the picture in the README, from a run on simulated customers.

    uv run stagecast simulate --customers 1500 --seed 5 --output build/picture/data
    uv run stagecast run --config build/picture/data/simulated.yaml --output build/picture/out
    uv run --group browser python scripts/picture.py build/picture/out

Needs chromium. A test holds the picture under 300 kB.
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

TARGET = Path(__file__).parent.parent / "docs" / "report.png"
WIDE = 1360
# The page without what a picture does not need: the section on movement follows the numbers.
TIDY = """() => {
  for (const id of ["value", "campaigns", "customer", "metrics", "trust", "data"]) document.getElementById(id).remove();
  for (const e of document.querySelectorAll("details.twin, details.words, #stages, #moves .grid, .caption, footer, #theme")) e.remove();
}"""  # noqa: E501


def draw(report: Path) -> Image.Image:
    """The head, the numbers and the flow of a report, in 256 colours."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("no chromium: apt-get install -y chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(
            viewport={"width": WIDE, "height": 900}, color_scheme="light", reduced_motion="reduce"
        )
        page.goto(report.absolute().as_uri())
        page.wait_for_selector("html[data-ready]")
        page.evaluate(TIDY)
        bottom = page.evaluate("document.getElementById('fig-flow').getBoundingClientRect().bottom")
        shot = page.screenshot(
            full_page=True, clip={"x": 0, "y": 0, "width": WIDE, "height": bottom + 24}
        )
        browser.close()
    return Image.open(io.BytesIO(shot)).convert("RGB").quantize(256)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw docs/report.png.")
    parser.add_argument("output", type=Path, help="output folder of a run")
    output = parser.parse_args().output
    run = read_current(output).run.run_id
    draw(run_folder(output, run) / "report.html").save(TARGET, optimize=True)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")
