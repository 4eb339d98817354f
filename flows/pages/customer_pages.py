"""Pages about customers: the table over the store, the card, the CSV file, and a draft."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

import pandas as pd
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from features.contracts import SCORED_ROW, column_label
from features.errors import UserError
from features.sources.keys import key_value
from features.storage.csv_files import csv_content
from features.storage.customer_query import CustomerFilter, CustomerQuery
from features.storage.row_reader import Row
from flows.pages.customer_card import customer_history, customer_tiles, timeline_chart
from flows.pages.plan_files import campaign_titles
from flows.pages.rendering import drawing
from flows.pages.site import PREFIX, Site, Visit, add_page
from flows.report.campaign_draft import campaign_draft
from flows.report.figure import CellKind, cell_text
from flows.serving.answers import Refusal
from models.explaining.segments import (
    SEGMENT_NAMES,
    SegmentCutoffs,
    customer_segments,
    segment_cutoffs,
)

PAGE_ROWS = 25
_FILE_ROWS = 20_000  # rows of a CSV file that are read at once
_BANDS = ("high", "medium", "low")
# Column, kind of its cells and heading; as in the report's list.
_COLUMNS: tuple[tuple[str, CellKind, str], ...] = (
    ("customer_id", "text", "Customer"),
    ("stage", "text", "Stage"),
    ("segment", "text", "Segment"),
    ("p_churn", "percent", "Churn risk"),
    ("clv", "money", "Expected spend"),
    ("historic_clv", "money", "Spent so far"),
    ("average_order_value", "money", "Average order"),
    ("expected_next_order_at", "date", "Next order"),
    ("preferred_channel", "text", "Channel"),
)
_SORTED = {name for name, _, _ in _COLUMNS} - {"segment"}  # a segment is in no column of the store
_DTYPES = {column.name: column.dtype for column in SCORED_ROW}
_KEYS = ("stage", "segment", "band", "campaign", "search")


@dataclass(frozen=True)
class TableChoice:
    """What somebody has chosen to see of the table; all that stands in the page's address.

    Attributes
    ----------
    stage, segment, band, campaign, search
        Filters; empty: none.
    sort, descending
        Order of the rows.
    """

    stage: str = ""
    segment: str = ""
    band: str = ""
    campaign: str = ""
    search: str = ""
    sort: str = "clv"
    descending: bool = True

    @classmethod
    def of(cls, query: Mapping[str, str]) -> TableChoice:
        """Read an address.

        Raises
        ------
        Refusal
            For a column or segment that there is not.
        """
        chosen = {key: query.get(key, "").strip() for key in _KEYS}
        sort, order = query.get("sort", "clv"), query.get("order", "down")
        if sort not in _SORTED or order not in ("up", "down"):
            raise Refusal(422, "sort", "no such order", f"one of {', '.join(sorted(_SORTED))}")
        if chosen["segment"] and chosen["segment"] not in SEGMENT_NAMES:
            raise Refusal(422, "segment", "no such segment", ", ".join(SEGMENT_NAMES))
        if "\x00" in "".join(chosen.values()):
            raise Refusal(422, "filter", "a sign that no store can hold", "plain text")
        return cls(**chosen, sort=sort, descending=order == "down")

    def filter(self, cutoffs: SegmentCutoffs) -> CustomerFilter:
        """The filter for the store."""
        equal = {"stage": self.stage, "churn_band": self.band}
        rule = cutoffs.audience_rule(self.segment) if self.segment else None
        chosen = {name: value for name, value in equal.items() if value}
        return CustomerFilter(chosen, rule, self.campaign, self.search)

    def address(self, path: str = "/customers", **more: str) -> str:
        """Address of a page for this choice."""
        chosen = {key: getattr(self, key) for key in _KEYS if getattr(self, key)}
        order = {"sort": self.sort, "order": "down" if self.descending else "up"}
        return f"{PREFIX}{path}?{urlencode(chosen | order | more)}"

    def sorted_by(self, column: str) -> TableChoice:
        """The choice after a click on a heading: the other direction, or another column."""
        if column == self.sort:
            return replace(self, descending=not self.descending)
        return replace(self, sort=column, descending=_DTYPES.get(column) == "double")


def add_customer_pages(app: FastAPI, site: Site) -> None:
    """Add the pages."""
    add_page(app, site, "/customers", _table, role="read", method="GET")
    add_page(app, site, "/customers.csv", _file, role="read", method="POST")
    add_page(app, site, "/draft", _draft, role="read", method="GET")
    add_page(app, site, "/customers/{customer:path}", _card, role="read", method="GET")


def _table(visit: Visit) -> Response:
    site, choice = visit.site, TableChoice.of(visit.query)
    cutoffs = _cutoffs(site)
    query = CustomerQuery(
        choice.filter(cutoffs), choice.sort, choice.descending,
        after=_place(visit.query.get("after"), choice.sort),
        before=_place(visit.query.get("before"), choice.sort), limit=PAGE_ROWS + 1,
    )  # fmt: skip
    run_id, rows = site.reader.customers(query)
    # One row more than is shown says whether there is a further page in the direction of reading.
    is_back, more = query.before is not None, len(rows) > PAGE_ROWS
    rows = rows[-PAGE_ROWS:] if is_back else rows[:PAGE_ROWS]
    has_earlier, has_later = (more, True) if is_back else (query.after is not None, more)
    segments = _segments(rows, cutoffs)
    currency = site.config().currency
    return visit.show(
        "customers.html.j2", "Customers", choice=choice, run_id=run_id,
        count=site.reader.count_customers(query.chosen),
        heads=[_head(choice, *column) for column in _COLUMNS],
        rows=[_cells(row, segment, currency) for row, segment in zip(rows, segments, strict=True)],
        earlier=choice.address(before=_key(rows[0], choice.sort)) if rows and has_earlier else "",
        later=choice.address(after=_key(rows[-1], choice.sort)) if rows and has_later else "",
        stages=site.taxonomy().names, segments=SEGMENT_NAMES, bands=_BANDS,
        campaigns=campaign_titles(site), keys=_KEYS,
    )  # fmt: skip


def _card(visit: Visit) -> Response:
    site, customer = visit.site, key_value(visit.path["customer"]) or ""
    row = site.reader.scored_row(customer) if "\x00" not in customer else None
    if row is None:
        raise Refusal(
            404, "customer", "no scored row", "a customer of the current run",
            "search for a part of the id in the table",
        )  # fmt: skip
    config, scorer = site.config(), site.served.scorer
    since = row.get("stage_since")
    history = customer_history(scorer, site.output, customer, _date(since))
    titles = campaign_titles(site)
    taxonomy = site.taxonomy()
    memberships = [_membership(member, titles) for member in site.reader.memberships(customer)]
    head = scorer.scorer.loaded.head
    chart = timeline_chart(history, taxonomy.stages)
    lanes = 1 + history.activity["what"].nunique()
    return visit.show(
        "customer.html.j2", customer, section="Customers", row=row, history=history,
        tiles=customer_tiles(
            row, config.churn.horizon_days, config.clv.horizon_days, config.currency
        ),
        drawing=drawing(chart, width=860, height=34 * lanes + 10), memberships=memberships,
        activity=history.activity.to_dict("records"), currency=config.currency,
        scored=[(column_label(name), _plain(value)) for name, value in row.items()],
        scorer_version=row.get("scorer_version"), head=head,
    )  # fmt: skip


def _file(visit: Visit) -> Response:
    """All customers of a filter as CSV, read in parts so that a million need no memory."""
    site, choice = visit.site, TableChoice.of(visit.form)
    chosen = choice.filter(_cutoffs(site))
    count = site.reader.count_customers(chosen)
    words = [f"{key}={getattr(choice, key)}" for key in _KEYS[:-1] if getattr(choice, key)]
    words += ["a search"] if choice.search else []
    visit.note("download customers", f"{count:,} customers; {', '.join(words) or 'no filter'}")
    day = str(site.served.status().get("snapshot_at", "now"))
    return StreamingResponse(
        _csv(site, chosen),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="customers-{day}.csv"'},
    )


def _csv(site: Site, chosen: CustomerFilter) -> Iterator[bytes]:
    cutoffs, query, first_run = _cutoffs(site), CustomerQuery(chosen, limit=_FILE_ROWS), ""
    yield b"\xef\xbb\xbf"  # without it spreadsheets read other letters than were written
    while True:
        run_id, rows = site.reader.customers(query)
        if first_run and run_id != first_run:
            raise UserError(
                "customers", found="a run published meanwhile", expected="one run for the file"
            )
        # As objects: an integer stays one, whether or not its part has rows without a value.
        frame = pd.DataFrame(rows, dtype=object).assign(segment=_segments(rows, cutoffs))
        content = csv_content(frame).content
        yield content.split(b"\n", 1)[1] if first_run else content
        if len(rows) < _FILE_ROWS:
            return
        first_run, last = run_id, str(rows[-1]["customer_id"])
        query = replace(query, after=(last, last))


def _draft(visit: Visit) -> Response:
    """A playbook for those who are chosen, to be put into the folder of playbooks."""
    site, choice = visit.site, TableChoice.of(visit.query)
    taxonomy, status = site.taxonomy(), site.served.status()
    draft = campaign_draft(taxonomy.name, _cutoffs(site), str(status.get("snapshot_at", "")))
    stages = [choice.stage] if choice.stage else taxonomy.names
    rules = [draft["rules"][choice.segment]]
    text = draft["text"].replace("{stages}", ", ".join(json.dumps(name) for name in stages))
    text = text.replace("{rules}", "".join(f"\n    - {rule}" for rule in rules))
    if choice.band:
        rule = f"{{column: churn_band, in: [{choice.band}]}}"
        inner = "".join(f"\n        - {line}" for line in rules)
        text = text.replace(
            "  any:" + "".join(f"\n    - {line}" for line in rules),
            f"  all:\n    - any:{inner}\n    - {rule}",
        )
    ignored = [name for name in ("campaign", "search") if getattr(choice, name)]
    visit.note("draft a campaign", ", ".join(filter(None, [choice.stage, choice.segment])))
    return visit.show(
        "draft.html.j2", "Campaign draft", section="Customers", text=text, choice=choice,
        ignored=ignored,
    )  # fmt: skip


def _head(choice: TableChoice, name: str, kind: CellKind, title: str) -> dict[str, str]:
    is_sorted = choice.sort == name
    direction = "descending" if choice.descending else "ascending"
    return {
        "title": title,
        "sorted": direction if is_sorted else "none",
        "number": "num" if kind in ("percent", "money") else "",
        "link": choice.sorted_by(name).address() if name in _SORTED else "",
    }


def _cells(row: Row, segment: str, currency: str) -> dict[str, Any]:
    values = {**row, "segment": segment}
    cells = [
        (cell_text(values.get(name), kind, currency).replace("_", " "),
         "num" if kind in ("percent", "money") else "")
        for name, kind, _ in _COLUMNS[1:]
    ]  # fmt: skip
    customer = str(row["customer_id"])
    link = f"{PREFIX}/customers/{quote(customer, safe='')}"
    return {"id": customer, "link": link, "cells": cells}


def _membership(member: Row, titles: Mapping[str, str]) -> str:
    """A sentence on a campaign that a customer is in."""
    name = str(member["campaign_id"])
    title = titles.get(name, name)
    if member.get("change") == "removed":
        return f"{title}: left this campaign"
    if member.get("arm") == "control":
        return f"{title}: held out, do not contact"
    why = f"; {member['reasons']}" if member.get("reasons") else ""
    return f"{title}: to contact{why}"


def _segments(rows: list[Row], cutoffs: SegmentCutoffs) -> list[str]:
    if not rows:
        return []
    names = ("p_churn", "clv", "average_order_value")
    frame = pd.DataFrame({name: [row.get(name) for row in rows] for name in names}, dtype=float)
    return [str(name) for name in customer_segments(frame, cutoffs)]


def _cutoffs(site: Site) -> SegmentCutoffs:
    return segment_cutoffs(site.served.scorer.scorer.loaded.parts)


def _key(row: Row, sort: str) -> str:
    """Place of a row in the order, as text for an address."""
    return json.dumps([_plain(row[sort]), row["customer_id"]])


def _place(text: str | None, sort: str) -> tuple[Any, str] | None:
    """The place that `_key` wrote.

    Raises
    ------
    Refusal
        If it is none of this column.
    """
    if text is None:
        return None
    try:
        value, customer = json.loads(text)
        dtype = _DTYPES.get(sort, "string")
        kind = (int, float) if dtype == "double" else (str,)
        if not isinstance(customer, str) or not isinstance(value, (*kind, type(None))):
            raise ValueError
        is_date = dtype == "date" and value is not None
        return (dt.date.fromisoformat(str(value)) if is_date else value), customer
    except (ValueError, TypeError, RecursionError):
        raise Refusal(422, "after", "no place in this table", "a link of the table") from None


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _date(value: Any) -> dt.date | None:
    return value.date() if isinstance(value, dt.datetime) else value
