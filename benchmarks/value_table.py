"""CLV beside its baselines, origin by origin, through the fit function of the product.

    for name in cdnow completejourney
    do uv run stagecast features --config configs/$name.yaml --output build/value/$name; done
    uv run python -m benchmarks.value_table --work build/value

Every row is one origin: RMSE (MAE) of each method on the CLV task's population, what is served,
and the coverage of the interval by fifth of the predicted value with both tails. Takes about half
a minute of processor time an origin.
"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from features.calendar import day_number
from features.config.config import load
from features.table.feature_store import open_archive
from models.evaluation.evaluate import CHAMPION_METHOD, evaluate_part, labelled_test_set
from models.fitting.training_set import training_set
from models.tasks.all_tasks import TASKS

ORIGINS = {
    "completejourney": ("2017-07-02", "2017-08-02", "2017-08-18", "2017-09-02", "2017-10-01",
                        "2017-10-17", "2017-11-02"),
    "cdnow": ("1997-11-02", "1998-01-01", "1998-02-14", "1998-04-01"),
}  # fmt: skip
METHODS = ("btyd", "gbm", "same_again", "mean", CHAMPION_METHOD)
INTERVAL = (*(f"coverage_fifth_{number}" for number in range(1, 6)),
            "below_interval", "above_interval")  # fmt: skip


def row_of(work: Path, name: str, origin: str) -> str:
    """One line of the table."""
    config = load(Path(f"configs/{name}.yaml"))
    archive = open_archive(work / name, config)
    day = day_number(dt.date.fromisoformat(origin))
    data = training_set(archive, "clv", day)
    part = TASKS["clv"].fit(data, config, archive.builder.taxonomy.names, threads=1)
    test = labelled_test_set(archive, "clv", day)
    figures = evaluate_part(part, data, test, config.clv.horizon_days).figures
    value = {
        (figure.method, figure.metric): figure.value
        for figure in figures
        if figure.subset == "all" and figure.model == "clv"
    }
    cells = [f"{value[method, 'rmse']:.2f} ({value[method, 'mae']:.2f})" for method in METHODS]
    interval = " ".join(f"{value[CHAMPION_METHOD, metric]:.2f}" for metric in INTERVAL)
    served = part.parameters["report"]["served"]
    return " | ".join([f"| {name} {origin}", *cells, served, f"{interval} |"])


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", choices=sorted(ORIGINS), action="append")
    parser.add_argument("--origin", action="append", help="only these dates")
    options = parser.parse_args()
    print("| RMSE (MAE) |", " | ".join(METHODS), "| served | coverage by fifth, below, above |")
    print("|---|" + "---|" * (len(METHODS) + 2))
    for name in options.data or ORIGINS:
        for origin in ORIGINS[name]:
            if not options.origin or origin in options.origin:
                print(row_of(options.work, name, origin), flush=True)


if __name__ == "__main__":
    main()
