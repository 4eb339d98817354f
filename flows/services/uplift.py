"""Uplift of an experiment: measure, fit a model, compare rankings, and store the result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from campaigns.effects.mean_effect import mean_effect
from campaigns.effects.sample_ratio import sample_ratio_p_value
from campaigns.effects.share_effect import share_effect
from campaigns.effects.two_arms import Effect, TwoArms
from features.errors import UserError
from features.sources.erasure_list import ErasureList
from features.sources.experiments import ExperimentTable, load_experiment
from features.storage.csv_files import write_csv
from flows.services.console import step
from models.fitting import uplift_learner
from models.fitting.uplift_curves import RankingQuality, compare_rankings, share_better
from models.fitting.uplift_learner import Experiment
from models.scorer.part import Part

UPLIFT_FOLDER = "uplift"


@dataclass(frozen=True)
class UpliftReport:
    """Results of an experiment.

    Attributes
    ----------
    name, people
        The experiment and its number of rows.
    lift
        Mean effect of the message.
    sample_ratio_p
        Probability of arms at least this uneven under the declared propensity.
    rankings
        By name: uplift (out of fold), the compared rankings, and a random one.
    beats
        By name of another ranking: share of bootstrap draws in which uplift has the larger area.
    """

    name: str
    people: int
    lift: Effect
    sample_ratio_p: float
    rankings: dict[str, RankingQuality]
    beats: dict[str, float]


def run_uplift(experiment: str, output: Path, *, threads: int = 1) -> UpliftReport:
    """Measure an experiment, train its uplift model, and write both under ``uplift/NAME``.

    Files: ``report.json``, ``curves.csv`` and ``curves.png`` (gain by share addressed),
    ``out_of_fold.csv`` (effect of every row by a model trained without it), and the model in
    ``model/``.
    """
    table = _without_erased(load_experiment(experiment), ErasureList.load(output))
    if not table.spec.covariates:
        raise UserError(
            f"experiment {table.spec.name}: covariates",
            found="none",
            expected="columns that were known before the send",
            hint="list them under `covariates`; only the scorer, which uses features of the day of "
            "the send, does not need them",
        )
    seed = table.spec.seed
    data, codes = _experiment_data(table)
    step(f"{table.spec.name}: {len(data.outcome):,} rows, {data.treatment.mean():.0%} treated")
    effect = uplift_learner.effects_out_of_fold(data, seed=seed, threads=threads)
    rankings = {"uplift": effect, **table.rankings}
    compared_rankings = compare_rankings(rankings, data, seed=seed)
    beats = {
        name: share_better(effect, other_scores, data, seed=seed)
        for name, other_scores in rankings.items()
        if name != "uplift"
    }
    treated = data.treatment > 0.5
    report = UpliftReport(
        table.spec.name,
        len(data.outcome),
        _mean_effect(data.outcome, treated, seed=seed),
        sample_ratio_p_value(
            int(treated.sum()), int((~treated).sum()), 1 - float(data.propensity.mean())
        ),
        compared_rankings,
        beats,
    )
    part = uplift_learner.fit_effect(data, seed=seed, threads=threads)
    part.parameters["codes"] = codes
    _write(output / UPLIFT_FOLDER / table.spec.name, report, part, table, effect)
    return report


def _mean_effect(outcome: Any, treated: Any, *, seed: int) -> Effect:
    """Effect of the message on a share (outcome 0 or 1) or on a mean."""
    arms = TwoArms.of(outcome, treated)
    return (
        share_effect(arms)
        if set(np.unique(outcome)) <= {0.0, 1.0}
        else mean_effect(arms, seed=seed)
    )


def _without_erased(table: ExperimentTable, erased: ErasureList) -> ExperimentTable:
    """An experiment without the rows of erased customers."""
    if table.customers is None or not erased:
        return table
    remaining = (
        ~pd.Series(table.customers).isin(erased.among(pd.unique(table.customers))).to_numpy()
    )
    names = ("treatment", "outcome", "propensity", "people", "customers")
    arrays = {name: getattr(table, name)[remaining] for name in names}
    return replace(
        table,
        covariates=table.covariates[remaining].reset_index(drop=True),
        rankings={name: values[remaining] for name, values in table.rankings.items()},
        sent_on=None if table.sent_on is None else table.sent_on[remaining],
        **arrays,
    )


def _experiment_data(table: ExperimentTable) -> tuple[Experiment, dict[str, list[str]]]:
    """An experiment's rows as model input, and the codes of its text covariates."""
    codes: dict[str, list[str]] = {}
    covariates = uplift_learner.encode_covariates(
        table.covariates, list(table.covariates.columns), codes
    )
    data = Experiment(covariates, table.treatment, table.outcome, table.propensity, table.people)
    return data, codes


def _write(
    folder: Path, report: UpliftReport, part: Part, table: ExperimentTable, effect: Any
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part.save(folder / "model")
    rankings = {
        name: {k: v for k, v in asdict(ranked).items() if k != "curve"}
        for name, ranked in report.rankings.items()
    }
    content = {
        "experiment": report.name,
        "people": report.people,
        "lift": {
            name: None if np.isnan(figure) else figure
            for name, figure in asdict(report.lift).items()
        },
        "sample_ratio_p": report.sample_ratio_p,
        "rankings": rankings,
        "uplift_better_in_share_of_draws": report.beats,
    }
    (folder / "report.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    write_csv(folder / "curves.csv", _curves_frame(report))
    rows = pd.DataFrame({"person": table.people, "effect": effect})
    write_csv(folder / "out_of_fold.csv", rows)
    _draw_curves(report, folder / "curves.png")


def _curves_frame(report: UpliftReport) -> pd.DataFrame:
    """Gain per person by share addressed: ranking, share, gain; one row per point."""
    parts = [
        pd.DataFrame({"ranking": name, "share": r.curve.share, "gain": r.curve.gain})
        for name, r in report.rankings.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _draw_curves(report: UpliftReport, path: Path) -> None:
    """Plot gain by share addressed, one line per ranking, with the line of random addressing."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.2))
    frame = _curves_frame(report)
    for name, rows in frame[frame["ranking"] != "random"].groupby("ranking", sort=False):
        axes.plot(rows["share"], rows["gain"], label=str(name))
    total_gain = report.rankings["uplift"].curve.gain[-1]
    axes.plot([0, 1], np.array([0, total_gain]), color="grey", linestyle=":", label="at random")
    axes.set_xlabel("share of people addressed, best first")
    axes.set_ylabel("added outcome per person")
    axes.set_title(report.name)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
