"""The report in a real browser: drawn, filtered, searched, printed, and read by machines."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.report.page import render_page
from flows.report.report_data import ReportData
from tests.flows.report.opened_page import Opened, changed_customers
from tests.flows.report.test_report import EVIL

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[3]
AXE = ROOT / "build" / "node_modules" / "axe-core" / "axe.min.js"
# Labels of all charts: those outside their drawing, and neighbours on an axis that touch.
LABELS = (Path(__file__).parent / "report_labels.js").read_text(encoding="utf-8")


def number(text: str) -> float:
    return float(re.sub(r"[^\d.-]", "", text))


def test_every_chart_is_drawn_and_nothing_complains(opened: Opened) -> None:
    page = opened.page
    charts = page.evaluate("[...document.querySelectorAll('figure .plot > div')].map(p => p.id)")
    assert len(charts) >= 10
    for chart in charts:
        assert page.locator(f"#{chart} svg").count() == 1, chart
        marks = page.evaluate(
            "id => document.querySelectorAll(`#${id} .role-mark path, #${id} .role-mark text`)"
            ".length",
            chart,
        )
        assert marks > 0, chart
        label = page.locator(f"#{chart}").locator("..").get_attribute("aria-label")
        assert re.search(r"\d", label), chart  # told with numbers
        assert page.get_attribute(f"#{chart}", "aria-hidden") == "true"
    assert opened.said == []


def test_the_first_words_come_before_the_charts(browser: Any, file: Path) -> None:
    found = Opened(browser, file)
    first = found.page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    ready = found.page.evaluate("performance.now()")
    assert first < ready / 2  # a share, not a time: the machine may be busy
    found.context.close()


def test_a_stage_chosen_changes_numbers_charts_and_tables(
    opened: Opened, report: ReportData
) -> None:
    page, scores = opened.page, report.scores
    stage = str(scores["stage"].value_counts().index[0])
    page.check(f'#filter input[value="{stage}"]')
    mine = scores[scores["stage"] == stage]
    page.wait_for_function(
        "n => document.getElementById('n-customers').textContent === n", arg=f"{len(mine):,}"
    )
    assert f"{len(mine):,} customers" in page.inner_text("#state")
    page.wait_for_function("document.querySelectorAll('#table-sizes tbody tr').length === 1")
    assert opened.rows("table-sizes") == [[stage, f"{len(mine):,}"]]
    quadrant = opened.rows("table-quadrant")
    assert sum(number(row[1]) for row in quadrant) == len(mine)
    assert page.locator("#plot-sizes .role-axis-label text", has_text=stage).count() == 1
    page.wait_for_function(
        "document.querySelectorAll('#plot-sizes .role-mark.mark-rect path').length === 1"
    )
    page.click("#filter button[type=reset]")
    page.wait_for_function(
        "n => document.getElementById('n-customers').textContent === n", arg=f"{len(scores):,}"
    )


def test_stage_and_segment_hold_together(opened: Opened, report: ReportData) -> None:
    page, scores = opened.page, report.scores
    pair = scores.groupby(["stage", "segment"], observed=True).size().idxmax()
    for value in pair:
        page.check(f'#filter input[value="{value}"]')
    n = int(((scores["stage"] == pair[0]) & (scores["segment"] == pair[1])).sum())
    page.wait_for_function(
        "n => document.getElementById('n-customers').textContent === n", arg=f"{n:,}"
    )


def test_another_month_of_the_migration_is_drawn(opened: Opened) -> None:
    page = opened.page
    values = page.evaluate(
        "[...document.querySelectorAll('#choice-migration option')].map(o => o.value)"
    )
    shown = "[...document.querySelectorAll('#plot-migration .role-mark text')].map(t => t.textContent).join()"  # noqa: E501
    before = page.evaluate(shown)
    page.select_option("#choice-migration", values[0])
    page.wait_for_function(f"before => {shown} !== before", arg=before)


def test_a_customer_is_found_and_told(opened: Opened, report: ReportData) -> None:
    page = opened.page
    row = report.scores[report.scores["p_churn"].notna()].iloc[3]
    page.fill("#who", str(row["customer_id"]))
    page.press("#who", "Enter")
    page.wait_for_selector(f'#person[data-shown="{row["customer_id"]}"]')
    assert page.inner_text("#p-title") == str(row["customer_id"])
    assert f"In {row['stage']} because" in page.inner_text("#p-why")
    assert f"{row['p_churn']:.1%}" in page.inner_text("#p-tiles")
    assert page.locator("#plot-person svg").count() == 1
    told = dict(opened.rows("p-row"))
    assert told["stage"] == row["stage"]
    assert number(told["expected spend"]) == pytest.approx(row["clv"], rel=1e-3)
    page.fill("#who", "nobody is called so")
    page.wait_for_function(
        "document.getElementById('found').textContent.startsWith('No searchable')"
    )


def test_the_button_shows_somebody_of_the_filter(opened: Opened, report: ReportData) -> None:
    page = opened.page
    stage = str(report.scores["stage"].value_counts().index[-1])
    page.check(f'#filter input[value="{stage}"]')
    page.click("#any")
    page.wait_for_function(
        "s => document.getElementById('p-why').textContent.startsWith(`In ${s} because`)", arg=stage
    )


def test_the_keyboard_reaches_everything(browser: Any, file: Path) -> None:
    found = Opened(browser, file)
    page = found.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "[document.activeElement.id || document.activeElement.tagName,"
            " getComputedStyle(document.activeElement).outlineStyle]"
        )
        seen.add(name)
        assert outline != "none" or name == "BODY", name  # past the end, before it begins anew
    assert {"theme", "A", "INPUT", "BUTTON", "SUMMARY"} <= seen
    found.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1360, 380])
def test_no_serious_finding_of_axe(browser: Any, file: Path, theme: str, width: int) -> None:
    assert AXE.is_file(), f"no {AXE}: npm install --prefix build axe-core"
    found = Opened(
        browser, file, color_scheme=theme, viewport={"width": width, "height": 800},
        bypass_csp=True, reduced_motion="reduce",
    )  # fmt: skip
    page = found.page
    page.click("#any")
    page.wait_for_selector("#person[data-shown]")
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.add_script_tag(path=AXE)
    told = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [
        (v["id"], v["help"], [n["html"][:160] for n in v["nodes"][:3]])
        for v in told["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found.context.close()


def test_the_theme_can_be_switched_and_paper_is_white(browser: Any, file: Path) -> None:
    found = Opened(browser, file, color_scheme="dark")
    page = found.page
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.click("#theme")
    light = page.evaluate(paper)
    assert light == "rgb(255, 255, 255)" != dark
    page.click("#theme")
    assert page.evaluate(paper) == dark
    page.emulate_media(media="print")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert not page.is_visible("#filter")
    assert not page.is_visible("#customer")
    assert page.is_visible("#plot-sizes svg")
    found.context.close()


def test_it_prints_on_a_few_pages(opened: Opened) -> None:
    printed = opened.page.pdf(format="A4")
    pages = len(re.findall(rb"/Type\s*/Page[^s]", printed))
    assert 4 <= pages <= 25


def test_charts_fit_their_cards_on_a_narrow_screen(browser: Any, file: Path) -> None:
    found = Opened(browser, file, viewport={"width": 380, "height": 800})
    wider = found.page.evaluate(
        "[...document.querySelectorAll('.plot svg')]"
        ".filter(s => s.getBoundingClientRect().width > s.parentElement.parentElement"
        ".getBoundingClientRect().width + 2).length"
    )
    assert wider == 0
    assert found.said == []
    found.context.close()


@pytest.mark.parametrize("width", [1360, 420])
def test_no_label_is_cut_or_written_over_another(browser: Any, file: Path, width: int) -> None:
    found = Opened(browser, file, viewport={"width": width, "height": 800})
    told = found.page.evaluate(LABELS)
    assert told["outside"] == []
    assert told["touching"] == []
    # Names of stages are short enough to stand in full.
    assert [text for text in told["texts"] if "→" in text and "…" in text] == []
    found.context.close()


def test_counts_are_written_as_people_write_them(opened: Opened) -> None:
    ticks = opened.page.evaluate(
        "[...document.querySelectorAll('#plot-sizes .role-axis-label text')]"
        ".map(t => t.textContent)"
    )
    assert "0" in ticks
    assert not any(re.fullmatch(r"[\d.]+k", tick) for tick in ticks)


def test_somebody_without_events_has_a_timeline_all_the_same(
    browser: Any, report: ReportData, tmp_path: Path
) -> None:
    path = tmp_path / "quiet.html"
    quiet = changed_customers(report, lambda told: told["events"].__setitem__(0, []))
    path.write_text(render_page(dataclasses.replace(report, searchable=quiet)), encoding="utf-8")
    found = Opened(browser, path)
    found.page.fill("#who", report.scores["customer_id"].astype(str).min())
    found.page.press("#who", "Enter")
    found.page.wait_for_selector("#person[data-shown]")
    assert found.page.locator("#plot-person svg").count() == 1
    assert found.said == []
    found.context.close()


def test_on_paper_nothing_is_wider_than_its_card(opened: Opened) -> None:
    page = opened.page
    size = page.viewport_size
    page.set_viewport_size({"width": 690, "height": 1000})  # A4 without its margins
    page.emulate_media(media="print")
    wider = page.evaluate(
        "[...document.querySelectorAll('.card.scroll > table, .plot svg')]"
        ".filter(e => e.getBoundingClientRect().right > e.closest('.card')"
        ".getBoundingClientRect().right + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    bare = page.evaluate(
        "[...document.querySelectorAll('#metrics .card')]"
        ".filter(c => c.offsetHeight && !c.querySelector('tbody tr')).map(c => c.innerText)"
    )
    page.emulate_media(media="screen")
    page.set_viewport_size(size)
    assert wider == []
    assert bare == []  # what opens on a screen says nothing on paper


def test_evil_names_are_only_shown(browser: Any, report: ReportData, tmp_path: Path) -> None:
    scores = report.scores.copy()
    first = scores["stage"].iloc[0]
    scores["stage"] = scores["stage"].where(scores["stage"] != first, EVIL)
    evil = dataclasses.replace(
        report,
        scores=scores,
        expected_moves=report.expected_moves.replace(first, EVIL),
        plan=report.plan.assign(title=EVIL),
        notice=EVIL,
        searchable=_renamed(report),
    )
    path = tmp_path / "evil.html"
    path.write_text(render_page(evil), encoding="utf-8")
    found = Opened(browser, path)
    found.page.fill("#who", "<img")
    found.page.press("#who", "Enter")
    found.page.wait_for_selector("#person[data-shown]")
    assert found.page.inner_text("#p-title").startswith("</script><img")
    assert found.page.locator("img").count() == 0
    assert found.said == []
    found.context.close()


def _renamed(report: ReportData) -> Any:
    """The searchable customers, the first of them under an evil name."""

    def rename(told: dict[str, Any]) -> None:
        told["ids"][0] = EVIL
        told["why"][0] = EVIL

    return changed_customers(report, rename)


def test_the_shown_stages_are_those_of_the_data(opened: Opened, report: ReportData) -> None:
    rows = pd.DataFrame(opened.rows("table-sizes"), columns=["stage", "n"])
    counted = report.scores["stage"].value_counts()
    assert dict(zip(rows["stage"], rows["n"].map(number), strict=True)) == counted.to_dict()
