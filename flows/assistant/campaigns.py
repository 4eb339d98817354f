"""Campaigns for assistants: what is planned, and what they changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from features.metrics.stage_metrics import FEWEST
from features.storage.result_tables import PREDICTION_ACCURACY, read_results
from features.storage.runs import PublishedRun, run_folder
from flows.assistant.disclosure import (
    dominated,
    hidden_groups,
    rounded_count,
    significant,
    tells_of_few,
)
from flows.services.measurement_files import read_effects

_SIZES = ("eligible", "members", "treatment", "control")
_ARMS = ("treatment", "control")
_EFFECTS = ("difference", "low", "high")
_TOTALS = ("incremental_total", "cost_total")
_ACCURACY = ("predicted", "actual", "low", "high")


def campaign_plans(output: Path, run: PublishedRun) -> list[dict[str, Any]]:
    """Return the campaigns of a run.

    Returns
    -------
    list of dict
        campaign_id, title, kind, channel, offer, success, success_within_days, control_share,
        eligible, members, treatment and control (multiples of 30; null: hidden), expected_value and
        cost (money, of the shown number of members), base_rate, smallest_detectable_effect and
        export_waits (until somebody confirms its new members).
    """
    folder = run_folder(output, run.run_id) / "audiences"
    if not (folder / "plan.csv").is_file():
        return []
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    facts = {campaign["campaign_id"]: campaign for campaign in manifest["campaigns"]}
    audience = pq.read_table(
        output / run.audience_file, columns=["campaign_id", "expected_value", "change"]
    ).to_pandas()
    present = audience[audience["change"] != "removed"]
    return [
        _plan(row, facts.get(row["campaign_id"], {}), present)
        for row in pd.read_csv(folder / "plan.csv").to_dict("records")
    ]


def _plan(
    row: Mapping[str, Any], facts: Mapping[str, Any], present: pd.DataFrame
) -> dict[str, Any]:
    members = int(row["members"])
    sizes = {name: rounded_count(row[name]) for name in _SIZES}
    values = present.loc[present["campaign_id"] == row["campaign_id"], "expected_value"]
    one_person = dominated(values.dropna().to_numpy(dtype=np.float64))
    shown = members >= FEWEST and not one_person

    def of_shown_members(total: float) -> float | None:
        # A total over its exact number of members would tell that number.
        return significant((sizes["members"] or 0) * total / members) if shown else None

    return {
        **{name: row[name] for name in ("campaign_id", "title", "kind", "channel")},
        **{
            name: facts.get(name)
            for name in ("offer", "success", "success_within_days", "control_share")
            if not isinstance(facts.get(name), dict)
        },
        **sizes,
        "expected_value": of_shown_members(float(row["expected_value"])),
        "cost": of_shown_members(float(row["cost"])),
        **{
            name: significant(float(row[name])) if shown else None
            for name in ("base_rate", "smallest_detectable_effect")
        },
        "export_waits": isinstance(row["held"], str),
    }


def measured_campaigns(output: Path) -> list[str]:
    """Return the campaigns that were measured, also past ones and the global hold-out."""
    return sorted(set(read_effects(output)["campaign_id"]))


def campaign_effects(output: Path, campaign: str | None) -> list[dict[str, Any]]:
    """Return what campaigns changed, by the last measurement.

    Returns
    -------
    list of dict
        campaign_id, by, group, outcome, people in both arms (multiples of 30), their means, the
        difference with its 95 % interval, incremental_total, cost_total (of the shown number of
        people) and answer. Only rows with at least 30 people in both arms, and only where those
        left out are no fewer. The means of a response are null unless in both arms at least 30
        people responded, and 30 did not.
    """
    effects = read_effects(output)
    if campaign is not None:
        effects = effects[effects["campaign_id"] == campaign]
    rows: list[dict[str, Any]] = []
    for (name, outcome), lines in effects.groupby(["campaign_id", "outcome"], sort=False):
        whole = lines[lines["by"] == "all"]
        for by, groups in lines.groupby("by", sort=False):
            totals = whole if len(whole) else groups
            hidden = [
                any(pair)
                for pair in zip(
                    *(
                        hidden_groups(groups[arm].astype(int).tolist(), int(totals[arm].sum()))
                        for arm in ("n_treatment", "n_control")
                    ),
                    strict=True,
                )
            ]
            about = {"campaign_id": name, "outcome": outcome, "by": by}
            rows += [
                about | _effect(group)
                for group, is_hidden in zip(groups.to_dict("records"), hidden, strict=True)
                if not is_hidden
            ]
    return rows


def _effect(row: Mapping[Any, Any]) -> dict[str, Any]:
    people = rounded_count(row["n_treatment"])
    # One arm and the difference would tell the other arm.
    is_telling = row["outcome"] == "response" and any(
        tells_of_few(float(row[arm]), int(row[f"n_{arm}"])) for arm in _ARMS
    )

    def of_shown_people(total: float) -> float | None:
        # An exact total over a mean, or over the price of a message, would tell their number.
        mean = significant(total / row["n_treatment"])
        return None if mean is None or people is None else significant(mean * people)

    return {
        "group": row["group_name"],
        "people_treatment": people,
        "people_control": rounded_count(row["n_control"]),
        **{name: None if is_telling else significant(float(row[name])) for name in _ARMS},
        **{name: significant(float(row[name])) for name in _EFFECTS},
        **{name: of_shown_people(float(row[name])) for name in _TOTALS},
        "answer": row["answer"],
    }


def past_accuracy(output: Path) -> list[dict[str, Any]]:
    """Return past predictions against what came, of all customers, the latest first.

    Returns
    -------
    list of dict
        date, prediction, horizon_days, customers (a multiple of 30), predicted and actual (means),
        low and high (95 % interval of the actual mean).
    """
    table = read_results(output, PREDICTION_ACCURACY)
    whole = table[(table["by"] == "all") & (table["customers"] >= FEWEST)]
    latest = whole.sort_values("snapshot_at", ascending=False, kind="stable")
    return [
        {
            "date": str(row["snapshot_at"].date()),
            "prediction": row["prediction"],
            "horizon_days": int(row["horizon_days"]),
            "customers": rounded_count(row["customers"]),
            **{name: significant(float(row[name])) for name in _ACCURACY},
        }
        for row in latest.to_dict("records")
    ]
