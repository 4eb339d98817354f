"""Churn risk of small shops: the served model against the share that stays away.

    uv run python -m benchmarks.small_shops OUTPUT... --draws 6

Every OUTPUT is a folder of `stagecast features`. At three dates customers are drawn from it, 50 to
500 who have bought, the churn part is fitted on them alone, and it predicts the customers of the
whole data set, so that a difference is one of the models and not of who was drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from features.arrays import Array
from features.contracts import CUSTOMER
from features.errors import UserError
from features.table.customer_profile import snapshot_stamp
from features.table.feature_store import Archive
from flows.services.workspace import Workspace
from models.evaluation.evaluate import labelled_test_set, predict_part
from models.fitting.training_set import TrainingSet, training_set
from models.tasks.all_tasks import TASKS

SIZES = (50, 100, 200, 500)
DATES = 3
MOST_TESTED = 5_000  # customers whose outcomes are compared
CHURN = TASKS["churn"]


def drawn(archive: Archive, data: TrainingSet, customers: set[str]) -> TrainingSet:
    """The training set of some customers alone."""
    counts = {}
    for day in archive.builder.training_days("churn", data.origin):
        is_drawn = archive.inputs("churn", day)[CUSTOMER].isin(customers).to_numpy()
        counts[snapshot_stamp(day)] = data.purchase_counts[snapshot_stamp(day)][is_drawn]
    frame, at_origin = (
        rows[rows[CUSTOMER].isin(customers)].reset_index(drop=True)
        for rows in (data.frame, data.at_origin)
    )
    return replace(data, frame=frame, at_origin=at_origin, purchase_counts=counts)


def draws(archive: Archive, origin: int, repeats: int) -> Iterator[dict[str, object]]:
    """Losses of the served model and of the baselines, a record a draw."""
    builder = archive.builder
    data, test = training_set(archive, "churn", origin), labelled_test_set(archive, "churn", origin)
    rows = test.rows.sample(min(len(test.rows), MOST_TESTED), random_state=1)
    buyers = data.at_origin.loc[data.at_origin["btyd__T"].notna(), CUSTOMER].to_numpy()
    for size in (size for size in SIZES if size < len(buyers)):
        for repeat in range(repeats):
            generator = np.random.default_rng([1, size, repeat, origin])
            small = drawn(archive, data, set(generator.choice(buyers, size, replace=False)))
            record = {"data": builder.config.name, "customers": size}
            try:
                part = CHURN.fit(small, builder.config, builder.taxonomy.names, threads=1)
            except UserError:
                yield {**record, "refused": True}
                continue

            def loss(outputs: dict[str, Array]) -> float:
                return float(CHURN.losses(outputs, rows).mean())

            losses = {"served": loss(predict_part(part, rows, test.everyone))}
            for name in ("mean", "bg_nbd", "rfm"):
                outputs = CHURN.all_baselines()[name](small, part, rows)
                losses[name] = np.nan if outputs is None else loss(outputs)
            yield {**record, "refused": False, **losses}


def table(records: pd.DataFrame) -> pd.DataFrame:
    """Draws, mean difference of losses to the mean of all, and how often it was worse by 1 %."""
    fitted = records[~records["refused"]]
    differences = fitted[["served", "bg_nbd", "rfm"]].sub(fitted["mean"], axis=0)
    differences["worse"] = fitted["served"] > 1.01 * fitted["mean"]
    groups = differences.groupby([fitted["data"], fitted["customers"]], sort=False)
    refused = records.groupby(["data", "customers"], sort=False)["refused"].sum()
    return groups.mean().assign(draws=groups.size(), refused=refused)


def main() -> None:
    """Print the table of the folders so far after each of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("outputs", nargs="+", type=Path)
    parser.add_argument("--draws", type=int, default=6)
    arguments = parser.parse_args()
    records: list[dict[str, object]] = []
    for output in arguments.outputs:
        archive = Workspace(output).archive()
        builder = archive.builder
        days = sorted(builder.training_days("churn", builder.last_snapshot))
        days = [day for day in days if builder.training_days("churn", day)]
        for position in np.unique(np.linspace(0, len(days) - 1, DATES).astype(int)):
            records += draws(archive, days[position], arguments.draws)
        print(table(pd.DataFrame(records)).round(4).to_string(), flush=True)


if __name__ == "__main__":
    main()
