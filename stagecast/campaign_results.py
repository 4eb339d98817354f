"""What campaigns planned and changed, and how well predictions did, as frames."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd

from features.errors import UserError
from features.storage import scores_store
from features.storage.result_tables import PREDICTION_ACCURACY, read_results
from features.storage.runs import PublishedRun
from stagecast.published_files import (
    DEFAULT_OUTPUT,
    as_frame,
    existing_folder,
    folder_of,
    no_file,
    plan_file,
    read_files,
    run_at,
    with_moments,
)


def audiences(
    output: str | Path = DEFAULT_OUTPUT,
    *,
    campaign: str | None = None,
    at: dt.date | str | None = None,
) -> pd.DataFrame:
    """Return the members of campaigns, in both arms, and those who left since the run before.

    An audience is a plan with hold-outs. Send to files under ``exports/`` only.

    Parameters
    ----------
    output
        The output folder.
    campaign
        Id of a campaign; default: all.
    at
        Date of the scores; default: the current run.

    Returns
    -------
    DataFrame
        One row per campaign and customer, in the order of campaigns, ranks and ids:
        campaign_id, customer_id, channel, rank (1 is the most
        valuable; null for those removed), expected_value (money), arm (``treatment`` or
        ``control``), change (``added``, ``kept`` or ``removed`` since the run before), entered_at,
        expires_at, reasons, offer_name and propensity (null without several offers).

    Raises
    ------
    UserError
        If no run is published, none of that date, or it planned no such campaign.
    """
    if campaign is not None and not isinstance(campaign, str):
        raise UserError(
            "campaign", found=repr(campaign), expected="the id of one campaign, or None for all"
        )
    folder = folder_of(output)
    if at is None:
        current = scores_store.read_current(folder)
        run, rows = current.run, with_moments(current.audience)
    else:
        run = run_at(folder, at)
        rows = as_frame(read_files(folder, [run.audience_file]))
    rows = rows.sort_values(["campaign_id", "rank", "customer_id"], ignore_index=True)
    if campaign is None:
        return rows
    members: pd.DataFrame = rows[rows["campaign_id"] == campaign].reset_index(drop=True)
    if members.empty:
        planned = sorted({*rows["campaign_id"], *_planned(folder, run)})
        if campaign not in planned:
            raise UserError(
                "campaign",
                found=repr(campaign),
                expected=f"one of: {', '.join(planned) or 'none, the run planned no campaign'}",
            )
    return members


def plan(output: str | Path = DEFAULT_OUTPUT) -> pd.DataFrame:
    """Return the campaigns of the current run: sizes, expected value, cost.

    Returns
    -------
    DataFrame
        One row per campaign, in the order of priority: campaign_id, title, kind, channel, eligible,
        members, treatment and control (customers), expected_value and cost (money), base_rate,
        smallest_detectable_effect, held (why its export waits; null if it does not), and the other
        columns of ``audiences/plan.csv``.

    Raises
    ------
    UserError
        If no run is published, or its files are on another machine.
    """
    folder = folder_of(output)
    file = plan_file(folder, scores_store.current_run(folder))
    if not file.is_file():
        raise no_file(file)
    frame: pd.DataFrame = pd.read_csv(file)
    return frame


def effects(output: str | Path = DEFAULT_OUTPUT, *, history: bool = False) -> pd.DataFrame:
    """Return what campaigns changed: treatment against control, by intention to treat.

    Parameters
    ----------
    output
        The output folder.
    history
        True: whole campaigns by day of measurement (``measured_at``), in place of the last
        measurement with its groups.

    Returns
    -------
    DataFrame
        One row per campaign_id, by, group_name and outcome: sizes and means of both arms,
        difference with its interval (low, high; low_any_time, high_any_time if read daily),
        answer, incremental_total, cost_total, sample_ratio_p and note. No rows before the first
        measurement.

    Raises
    ------
    UserError
        If there is no such folder.
    """
    from flows.services.measurement_files import read_effects, read_history

    folder = existing_folder(output)
    return with_moments(read_history(folder) if history else read_effects(folder))


def accuracy(output: str | Path = DEFAULT_OUTPUT) -> pd.DataFrame:
    """Return past predictions against what came, once their horizon has passed.

    Returns
    -------
    DataFrame
        One row per run_id, prediction, by and group_name: customers, predicted and actual (means),
        low and high (95 % interval of the actual mean), horizon_days, snapshot_at and
        scorer_version. Groups below 30 customers are left out; no rows before the first outcome.

    Raises
    ------
    UserError
        If there is no such folder.
    """
    return with_moments(read_results(existing_folder(output), PREDICTION_ACCURACY))


def _planned(folder: Path, run: PublishedRun) -> list[str]:
    file = plan_file(folder, run)
    return list(pd.read_csv(file)["campaign_id"]) if file.is_file() else []
