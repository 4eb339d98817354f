"""From tables to the exports of a run: nobody who refused, and no such address, is in them."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest
import yaml

from features.errors import UserError
from features.storage.runs import run_folder
from flows.commands.campaign_commands import membership_reason
from flows.services.campaign_plan import ALL_CAMPAIGNS, plan_run
from flows.services.workspace import Workspace
from flows.target import write_plan
from tests.campaigns.refusal_tables import Form, Shop, shop
from tests.flows.planned import last_day, made_up_scores, published, with_tallies

REFUSERS, WILLING = 60, 30
EXPORTS = ["csv", "klaviyo", "meta_custom_audiences", "table"]
BOOK = {
    "campaign": "back",
    "title": "Back",
    "description": "Those who left.",
    "stages": {"other": ["lapsed", "conversion", "retention", "loyalty"]},
    "trigger": [{"when": "schedule", "every": "week"}],
    "audience": {"column": "clv", ">=": 0},
    "expires_days": 60,
    "re_entry_days": 30,
    "rank_by": ["clv"],
    "value": {"product": ["clv"], "means": "an order"},
    "channel": "email",
    "offer": {"text": "20 %", "discount": 0},
    "contact_cost": 0.5,
    "control_share": 0,
    "success": {"metric": "elsewhere", "means": "orders", "within_days": 60},
    "priority": 10,
}


def prepared(folder: Path, form: Form) -> tuple[Shop, Workspace]:
    """A shop whose customers all ordered, with scores that wait for their audiences."""
    made = shop(form, folder, refusers=REFUSERS, willing=WILLING)
    lines = [
        f"{key},{day}T12:00:00Z,{10 + n % 7},o{n}{day}"
        for n, key in enumerate([*made.refused, *made.twins, *made.willing])
        for day in ("2020-02-01", "2020-09-01", "2021-02-27")
    ]
    (folder / "orders.csv").write_text("\n".join(["customer,at,amount,order", *lines]) + "\n")
    content = yaml.safe_load(made.config.read_text(encoding="utf-8"))
    columns = content["sources"][0]["columns"]
    columns |= {"value": "amount", "order_id": "order"}
    (folder / "back.yaml").write_text(yaml.safe_dump(BOOK), encoding="utf-8")
    content |= {
        "campaigns": ["back.yaml"],
        "exports": [f"exports/{name}.yaml" for name in EXPORTS],
        "activity_days": 90,
        "stages": {"file": "stages/recency_frequency.yaml", "params": {"L": 60, "w": 120}},
    }
    made.config.write_text(yaml.safe_dump(content), encoding="utf-8")
    space = with_tallies(made.config, folder / "out")
    published(space, "r1", made_up_scores(space, last_day(space)))
    return made, space


@pytest.mark.parametrize(
    "form",
    [
        Form("history", "csv", "uuid", "offset", "email", "csv", 1),
        Form("list of mails", "jsonl", "whole", "european", "email", "csv", 2),
        Form("column", "tsv", "float", "iso", "email", "csv", 3),
    ],
    ids=lambda form: form.place,
)
def test_a_run_exports_nobody_who_refused_under_any_id(tmp_path: Path, form: Form) -> None:
    made, space = prepared(tmp_path, form)
    planned = plan_run(space, "r1", confirm=(ALL_CAMPAIGNS,))
    write_plan(space, "r1", planned)
    folder = run_folder(space.output, "r1")
    files = [path for path in (folder / "exports").rglob("*") if path.is_file()]
    whole = "\n".join(path.read_bytes().decode("latin-1") for path in files)
    assert {path.parent.name for path in files} == set(EXPORTS)
    for customer in [*made.refused, *made.twins]:
        for trace in [customer, *made.traces[customer]]:
            assert trace not in whole, (customer, trace)
    assert all(customer in whole for customer in made.willing)
    said = membership_reason(planned.plan, made.twins[0], "back")
    assert "address" in said
    counted = planned.plan.exclusions
    told = (folder / "audiences" / "exclusions.csv").read_text(encoding="utf-8")
    by_address = counted[counted["reason"].str.startswith("same address as")]
    # A list of addresses names neither of the two ids.
    expected = 2 * REFUSERS if form.place == "list of mails" else REFUSERS
    assert by_address["customers"].sum() == expected
    assert all(reason in told for reason in by_address["reason"])


def test_old_consents_stop_the_export_and_the_plan_is_still_shown(tmp_path: Path) -> None:
    form = Form("history", "csv", "text", "iso", "email", "csv", 4)
    _, space = prepared(tmp_path, form)
    long_ago = (dt.datetime.now(dt.UTC) - dt.timedelta(days=31)).timestamp()
    os.utime(tmp_path / "history.csv", (long_ago, long_ago))
    planned = plan_run(space, "r1", confirm=(ALL_CAMPAIGNS,))
    assert planned.plan.table["members"].iloc[0] == WILLING
    with pytest.raises(UserError, match=r"max_age\.consents"):
        write_plan(space, "r1", planned)
    assert not (run_folder(space.output, "r1") / "exports").exists()
