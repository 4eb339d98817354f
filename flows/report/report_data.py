"""What a report is made of: everything that a run left, and what the archive can still tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from features.calendar import day_date, day_number
from features.errors import UserError
from features.lifecycle.taxonomy import Stage
from features.metrics.metric_inputs import Inputs, lead_sources, published_scores
from features.metrics.metric_table import metric_table, periods
from features.sources.acquisition_spend import read_spend
from features.storage.runs import run_folder
from features.table.families import catalogue
from features.table.feature_store import Archive, SourceCount, read_tallies
from flows.report import stage_transitions
from flows.report.churn_wording import WORDS, ChurnWords
from flows.report.customer_search import People, people
from flows.services.workspace import Workspace
from models.evaluation.warnings import concerns
from models.explaining.drivers import drivers
from models.explaining.segments import Cuts, cuts, segments
from models.registry import registry
from models.serving.expected_transitions import expected_by_group, expected_moves

MONTH_DAYS = 30
MOST_MONTHS = 25
FLOW_DATES = 4
MOST_FORECAST = 100_000  # customers whose expected moves are added up; more are drawn at random
TEST_TABLES = ("churn_reliability", "churn_gains", "clv_deciles")


@dataclass(frozen=True)
class Late:
    """Events that became known on a later day than they happened, and how late the half was."""

    events: int
    of: int
    median_days: float | None


@dataclass(frozen=True)
class Material:
    """Everything the page shows; drawing it needs no file and no model.

    Attributes
    ----------
    meta
        The run: run_id, dataset, snapshot_at, scorer_version, started_at.
    description, notice, currency, taxonomy
        Of the data set.
    stages
        The taxonomy's stages.
    scores
        Scored rows with their segment.
    cut
        Cut-offs of the segments.
    sizes, moves
        From `flows.report.stage_transitions`.
    expected, expected_days
        stage, segment, to_stage, expected; within so many days.
    plan, exclusions, audience
        The campaigns.
    tested, figures, tests
        Scorer version that the figures are of; records of ``training.json``; tables by name.
    drivers
        By model, from `models.explaining.drivers.drivers`.
    metrics
        From `features.metrics.metric_table.metric_table`.
    sources, late, unseen, worries
        Rows read and set aside; late data; what the rules cannot see; concerns about the models.
    people
        The searchable customers.
    churn
        What churn is called here.
    seed
        Of what is drawn for show.
    """

    meta: Mapping[str, Any]
    description: str
    notice: str
    currency: str
    taxonomy: str
    stages: Sequence[Stage]
    scores: pd.DataFrame
    cut: Cuts
    sizes: pd.DataFrame
    moves: pd.DataFrame
    expected: pd.DataFrame
    expected_days: int
    plan: pd.DataFrame
    exclusions: pd.DataFrame
    audience: pd.DataFrame
    tested: str
    figures: Sequence[Mapping[str, Any]]
    tests: Mapping[str, pd.DataFrame]
    drivers: Mapping[str, pd.DataFrame]
    metrics: pd.DataFrame
    sources: Sequence[SourceCount]
    late: Late
    unseen: Sequence[str]
    worries: Sequence[str]
    people: People
    seed: int
    consent: str = "not_recorded"
    churn: ChurnWords = WORDS["purchase"]
    notes: Sequence[str] = field(default=())


def gather(space: Workspace, run_id: str) -> Material:
    """Read a run's folder, the archive and the scorer that scored it."""
    folder = run_folder(space.output, run_id)
    meta = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    archive, config = space.archive(), space.config()
    builder = archive.builder
    at = day_number(pd.Timestamp(meta["snapshot_at"]).date())
    scores = pd.read_parquet(folder / "scores")
    scorer = registry.load(space.tracking(), version=int(meta["scorer_version"])).scorer
    cut = cuts(scorer.parts)
    scores["segment"] = segments(scores, cut)
    plan = pd.read_csv(folder / "audiences" / "plan.csv", keep_default_na=True)
    audience = pd.read_parquet(folder / "audience.parquet")
    days = stage_transitions.month_starts(builder.span.first, at, most=MOST_MONTHS)
    moved = stage_transitions.movement(builder, days)
    context = json.loads((folder / "scoring_context.json").read_text(encoding="utf-8"))
    expected, ahead = _expected(archive, scorer.parts["transition"], scores, context, at)
    tested, figures, tests = _tests(space)
    meanings = {f.name: f.meaning for f in catalogue(builder.spec)}
    titles = dict(zip(plan["campaign_id"], plan["title"], strict=True))
    return Material(
        meta=meta,
        description=config.description,
        notice=config.notice,
        currency=config.currency,
        taxonomy=builder.taxonomy.name,
        stages=builder.taxonomy.stages,
        scores=scores,
        cut=cut,
        sizes=stage_transitions.stage_sizes(moved),
        moves=stage_transitions.stage_moves(moved),
        expected=expected,
        expected_days=ahead,
        plan=plan,
        exclusions=_exclusions(folder),
        audience=audience,
        tested=tested,
        figures=figures,
        tests=tests,
        drivers={name: drivers(part, meanings) for name, part in scorer.parts.items()},
        metrics=_metrics(space, archive, at),
        sources=archive.source_counts(),
        late=_late(builder.history, at),
        unseen=builder.taxonomy.not_observable(builder.history.there),
        worries=concerns(figures),
        people=people(builder, scores, audience, titles, at=at),
        seed=config.seed,
        consent=config.consent,
        churn=WORDS[config.churn.by],
    )


def _exclusions(folder: Any) -> pd.DataFrame:
    path = folder / "audiences" / "exclusions.csv"
    names = ["campaign_id", "reason", "customers"]
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=names)


def _expected(
    archive: Archive, part: Any, scores: pd.DataFrame, context: Mapping[str, Any], at: int
) -> tuple[pd.DataFrame, int]:
    """Expected movers of the next month by stage, segment and destination."""
    frame, weight = archive.features(at).reset_index(drop=True), 1.0
    if len(frame) > MOST_FORECAST:
        rng = np.random.default_rng(archive.builder.config.seed)
        chosen = np.sort(rng.choice(len(frame), size=MOST_FORECAST, replace=False))
        weight, frame = len(frame) / MOST_FORECAST, frame.iloc[chosen].reset_index(drop=True)
    moves = expected_moves(part, frame, context, within_days=MONTH_DAYS)
    groups = scores.set_index("customer_id").loc[frame["customer_id"], ["stage", "segment"]]
    groups = groups.reset_index(drop=True).astype(str)
    table = expected_by_group(moves, groups, archive.builder.taxonomy.names)
    table["expected"] *= weight
    return table, moves.days


def _tests(space: Workspace) -> tuple[str, list[dict[str, Any]], dict[str, pd.DataFrame]]:
    """What the training measured on dates it had not seen."""
    if not (space.training / "training.json").is_file():
        return "", [], {}
    told = space.read("training.json")
    tables = {
        name: pd.read_csv(path)
        for name in TEST_TABLES
        if (path := space.training / "figures" / f"{name}.csv").is_file()
    }
    return str(told["scorer"]["version"]), list(told["figures"]), tables


def _metrics(space: Workspace, archive: Archive, at: int) -> pd.DataFrame:
    """The stage metrics of the last twelve whole months; no rows where there is none."""
    builder, config = archive.builder, space.config()
    try:
        over = periods(None, day_date(at), None, begin=day_date(builder.span.first))
    except UserError:
        return pd.DataFrame()
    tallies = read_tallies(space.output)
    inputs = Inputs(
        builder,
        sessions=None if tallies.sessions is None else tallies.sessions.to_pandas(),
        spend=read_spend(config),
        scores=published_scores(space.output, over),
        sources=lead_sources(builder, tallies.attributes),
    )
    return metric_table(inputs, over)


def _late(history: Any, at: int) -> Late:
    """Events of the last year before a day that became known later than they happened."""
    total, delays = 0, []
    for rows in history.roles.values():
        recent = (rows.day >= at - 365) & (rows.day < at)
        total += int(rows.count[recent].sum())
        late = rows.late
        inside = (late.day >= at - 365) & (late.day < at) & (late.count > 0)
        delays.append(np.repeat((late.known_day - late.day)[inside], late.count[inside]))
    waits = np.concatenate([*delays, np.zeros(0, dtype=np.int64)])
    return Late(len(waits), total, float(np.median(waits)) if len(waits) else None)
