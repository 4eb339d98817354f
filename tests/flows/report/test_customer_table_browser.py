"""The list of customers on the page: sorted, filtered, taken away as CSV or as a campaign."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from campaigns.playbook_loading import load_playbook
from flows.report.page import render_page
from flows.report.report_data import ReportData
from tests.flows.report.opened_page import Opened, changed_customers

pytestmark = pytest.mark.browser


def listed(opened: Opened) -> list[str]:
    return [row[0] for row in opened.rows("list-table")]


def counted(opened: Opened, customers: int) -> None:
    """Wait until so many customers are listed."""
    words = f"of {customers:,} customers"
    opened.page.wait_for_function(
        "words => document.getElementById('list-count').textContent.endsWith(words)", arg=words
    )


def test_the_most_valuable_come_first_and_pages_turn(opened: Opened, report: ReportData) -> None:
    counted(opened, len(report.scores))
    highest = report.scores.sort_values("clv", ascending=False)["clv"].head(25)
    first = listed(opened)
    mine = report.scores.set_index(report.scores["customer_id"].astype(str)).loc[first]
    assert mine["clv"].tolist() == pytest.approx(highest.tolist(), rel=1e-4)
    opened.page.click("#list-on")
    opened.page.wait_for_function(
        "document.getElementById('list-count').textContent.startsWith('26 to ')"
    )
    assert not set(first) & set(listed(opened))


def test_a_column_sorts_either_way_and_unknown_values_come_last(
    opened: Opened, report: ReportData
) -> None:
    page = opened.page
    title = page.locator("#list-table thead button", has_text="Churn risk")
    title.click()
    risks = report.scores.set_index(report.scores["customer_id"].astype(str))["p_churn"]
    downward = risks.loc[listed(opened)].to_list()
    assert downward == sorted(downward, reverse=True)
    title.click()
    upward = risks.loc[listed(opened)].to_list()
    assert upward == sorted(upward)
    assert risks.notna().sum() < len(risks)  # some have none, and stood on neither page


def test_filter_and_search_choose_and_the_address_keeps_the_filter(
    browser: Any, file: Path, opened: Opened, report: ReportData
) -> None:
    stage = str(report.scores["stage"].value_counts().index[-1])
    mine = report.scores[report.scores["stage"] == stage]
    opened.page.check(f'#filter input[value="{stage}"]')
    counted(opened, len(mine))
    assert set(listed(opened)) <= set(mine["customer_id"].astype(str))
    opened.page.click('nav a[href="#moves"]')
    address = opened.page.evaluate("location.hash")
    assert address == f"#moves?stage={stage}"
    again = Opened(browser, Path(file), viewport={"width": 1360, "height": 900})
    again.page.goto(file.as_uri() + address)
    again.page.reload()
    counted(again, len(mine))
    assert again.page.is_checked(f'#filter input[value="{stage}"]')
    again.context.close()
    one = str(mine["customer_id"].iloc[0])
    opened.page.fill("#list-who", one)
    opened.page.wait_for_function("document.querySelectorAll('#list-table tbody tr').length < 25")
    assert one in listed(opened)
    opened.page.fill("#list-who", "")


def test_the_csv_holds_everyone_who_is_listed(
    opened: Opened, report: ReportData, tmp_path: Path
) -> None:
    stage = str(report.scores["stage"].value_counts().index[-1])
    mine = report.scores[report.scores["stage"] == stage]
    opened.page.check(f'#filter input[value="{stage}"]')
    counted(opened, len(mine))
    with opened.page.expect_download() as download:
        opened.page.click("#list-csv")
    download.value.save_as(tmp_path / "customers.csv")
    rows = pd.read_csv(tmp_path / "customers.csv", dtype={"customer_id": str})
    assert sorted(rows["customer_id"]) == sorted(mine["customer_id"].astype(str))
    assert rows["clv"].sum() == pytest.approx(mine["clv"].sum(), rel=1e-4)


def test_ids_that_begin_like_formulas_or_hold_signs_stay_text(
    browser: Any, report: ReportData, tmp_path: Path
) -> None:
    odd = ["=1+1", "@a", 'a,"b"', "<img src=x onerror=alert(1)>"]

    def rename(content: dict[str, Any]) -> None:
        content["ids"] = odd + content["ids"][len(odd) :]

    path = tmp_path / "report.html"
    customers = changed_customers(report, rename)
    path.write_text(render_page(dataclasses.replace(report, searchable=customers)), "utf-8")
    opened = Opened(browser, path)
    with opened.page.expect_download() as download:
        opened.page.click("#list-csv")
    download.value.save_as(tmp_path / "customers.csv")
    ids = set(pd.read_csv(tmp_path / "customers.csv", dtype={"customer_id": str})["customer_id"])
    assert {"'=1+1", "'@a", 'a,"b"', "<img src=x onerror=alert(1)>"} <= ids
    opened.page.fill("#list-who", "<img")
    assert opened.page.locator("#list-table img").count() == 0
    assert listed(opened) == [odd[-1]]
    opened.context.close()


def test_the_draft_is_a_playbook_for_those_who_are_chosen(
    opened: Opened, report: ReportData, tmp_path: Path
) -> None:
    stage = str(report.scores["stage"].value_counts().index[0])
    for segment in ("Save now", "Win back"):
        if opened.page.locator(f'#filter input[value="{segment}"]').count():
            opened.page.check(f'#filter input[value="{segment}"]')
    opened.page.check(f'#filter input[value="{stage}"]')
    opened.page.wait_for_function(
        "s => document.getElementById('list-draft').textContent.includes(s)", arg=f'["{stage}"]'
    )
    path = tmp_path / "my_campaign.yaml"
    path.write_text(opened.page.text_content("#list-draft"), encoding="utf-8")
    assert load_playbook(path).stages[report.taxonomy] == (stage,)
