"""Data of a report, gathered from the run's folder, the feature store and the scorer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.aggregates.guard_checks import GuardFinding
from features.arrays import Array
from features.calendar import day_date, day_number
from features.errors import UserError
from features.lifecycle.taxonomy import Stage
from features.metrics.acquisition_payback import acquisition_payback
from features.metrics.metric_inputs import Inputs, lead_sources, published_scores
from features.metrics.metric_table import metric_table, periods
from features.sources.acquisition_spend import read_spend
from features.storage.result_tables import PREDICTION_ACCURACY, read_results
from features.storage.runs import run_folder
from features.table.families import catalogue
from features.table.feature_store import Archive, SourceCount, read_tallies
from features.table.snapshot_builder import Builder
from flows.report import stage_transitions
from flows.report.churn_wording import CHURN_WORDS, ChurnWords
from flows.report.customer_search import PackedCustomers, pack_customers
from flows.report.data_totals import DataTotals, data_totals
from flows.report.offer_rows import read_offers
from flows.report.order_gaps import order_gaps
from flows.report.purchase_history import cohorts, purchase_days, recency_and_frequency
from flows.report.spend_totals import spend_totals
from flows.report.stage_outlook import monthly_spend, outlook_sentences, stage_outlook
from flows.services.data_guards import guard_findings
from flows.services.measurement_files import read_effects, read_history
from flows.services.workspace import Workspace
from models.evaluation.warnings import training_warnings
from models.explaining.drivers import top_features
from models.explaining.segments import SegmentCutoffs, customer_segments, segment_cutoffs
from models.serving.expected_transitions import expected_by_group, expected_moves

_MONTH_DAYS = 30
_LAPSE = "L"  # parameter of the shipped stages: days without an order until a buyer is silent
_MOST_MONTHS = 25
FLOW_DATES = 4
_MOST_FORECAST = 100_000  # customers whose expected moves are summed; beyond that, a random sample
_TEST_TABLES = ("churn_reliability", "churn_gains", "clv_deciles")


@dataclass(frozen=True)
class LateEvents:
    """Events that arrived after the day they happened, and their median delay in days."""

    events: int
    total: int
    median_days: float | None


@dataclass(frozen=True)
class ReportData:
    """Everything the page shows; rendering it needs neither files nor models.

    Attributes
    ----------
    run
        Facts of the run: run_id, dataset, snapshot_at, scorer_version, started_at.
    description, notice, currency, taxonomy
        From the config and its taxonomy.
    stages
        The taxonomy's stages.
    scores
        Scored rows with their segment.
    cutoffs
        Cut-offs of the segments.
    sizes, moves
        From `flows.report.stage_transitions`.
    expected_moves, expected_days
        stage, segment, to_stage, expected (customers); the number of days ahead.
    plan, offers, exclusions, audience
        The campaign plan, its offers (`flows.report.offer_rows`), exclusions and members.
    totals
        Expected spend of groups, from `flows.report.spend_totals.spend_totals`.
    tested_version, figures, test_tables
        Tested scorer version; records of ``training.json``; tables of test results by name.
    drivers
        Most important features by model, from `models.explaining.drivers.top_features`.
    metrics
        From `features.metrics.metric_table.metric_table`.
    sources, late, unobservable, model_warnings
        Rows by source; late events; roles without events that stages use; warnings.
    searchable
        The searchable customers.
    results, result_history
        Effects of the campaigns, from `flows.services.measure`; whole campaigns by day.
    accuracy
        Past predictions against what came, from `flows.services.prediction_accuracy`.
    churn
        Words for churn in this data set.
    guards
        What the guards of the data have found.
    books
        All purchases that were read.
    buyers, cohorts
        Buyers by last order and order days; what the buyers of each month did later
        (`flows.report.purchase_history`).
    parameters
        Values of the taxonomy's parameters.
    gaps, gap_limits
        Share of orders followed by another one, by days (`flows.report.order_gaps`); limits in days
        by the stage or state that they decide.
    payback, has_margin
        From `features.metrics.acquisition_payback`; whether the margin is known.
    outlook, outlook_sentences
        Stages in the next months, from `flows.report.stage_outlook`.
    seed
        Seed of random samples for charts.
    """

    run: Mapping[str, Any]
    description: str
    notice: str
    currency: str
    taxonomy: str
    stages: Sequence[Stage]
    scores: pd.DataFrame
    cutoffs: SegmentCutoffs
    sizes: pd.DataFrame
    moves: pd.DataFrame
    expected_moves: pd.DataFrame
    expected_days: int
    plan: pd.DataFrame
    offers: pd.DataFrame
    exclusions: pd.DataFrame
    audience: pd.DataFrame
    tested_version: str
    figures: Sequence[Mapping[str, Any]]
    test_tables: Mapping[str, pd.DataFrame]
    drivers: Mapping[str, pd.DataFrame]
    metrics: pd.DataFrame
    sources: Sequence[SourceCount]
    late: LateEvents
    unobservable: Sequence[str]
    model_warnings: Sequence[str]
    searchable: PackedCustomers
    seed: int
    results: pd.DataFrame
    result_history: pd.DataFrame
    accuracy: pd.DataFrame
    totals: pd.DataFrame
    books: DataTotals
    buyers: pd.DataFrame
    cohorts: pd.DataFrame
    parameters: Mapping[str, float]
    gaps: pd.DataFrame
    gap_limits: Mapping[str, int]
    payback: pd.DataFrame
    has_margin: bool
    outlook: pd.DataFrame
    outlook_sentences: Sequence[str]
    churn: ChurnWords = CHURN_WORDS["purchase"]
    guards: Sequence[GuardFinding] = ()


def gather_report_data(space: Workspace, run_id: str) -> ReportData:
    """Read a run's folder, the feature store and the scorer of the run."""
    folder = run_folder(space.output, run_id)
    run_facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    # Refuses before the archive rebuilds features without the columns of a missing package.
    scorer = space.scorer(int(run_facts["scorer_version"]))
    archive, config = space.archive(), space.config()
    builder = archive.builder
    at = day_number(pd.Timestamp(run_facts["snapshot_at"]).date())
    scores = pd.read_parquet(folder / "scores")
    cutoffs = segment_cutoffs(scorer.parts)
    scores["segment"] = customer_segments(scores, cutoffs)
    plan = pd.read_csv(folder / "audiences" / "plan.csv", keep_default_na=True)
    audience = pd.read_parquet(folder / "audience.parquet")
    month_days = stage_transitions.month_starts(builder.span.first, at, most=_MOST_MONTHS)
    movement = stage_transitions.stages_over_time(builder, month_days)
    context = json.loads((folder / "scoring_context.json").read_text(encoding="utf-8"))
    upcoming_moves, expected_days = _expected(
        archive, scorer.parts["transition"], scores, context, at
    )
    tested, figures, warnings, test_tables = _tests(space)
    days, net = purchase_days(builder.history, at, minor_units=config.minor_units)
    outlook = stage_outlook(builder, at, seed=config.seed)
    silent = [stage.name for stage in builder.taxonomy.stages if stage.silent is not None]
    active = int((~scores["stage"].astype(str).isin(silent)).sum())
    meanings = {feature.name: feature.meaning for feature in catalogue(builder.spec)}
    titles = dict(zip(plan["campaign_id"], plan["title"], strict=True))
    return ReportData(
        run=run_facts,
        description=config.description,
        notice=config.notice,
        currency=config.currency,
        taxonomy=builder.taxonomy.name,
        stages=builder.taxonomy.stages,
        scores=scores,
        cutoffs=cutoffs,
        sizes=stage_transitions.stage_sizes(movement),
        moves=stage_transitions.stage_moves(movement),
        expected_moves=upcoming_moves,
        expected_days=expected_days,
        plan=plan,
        offers=read_offers(folder),
        exclusions=_exclusions(folder),
        audience=audience,
        tested_version=tested,
        figures=figures,
        test_tables=test_tables,
        drivers={
            model: top_features(scorer_part, meanings)
            for model, scorer_part in scorer.parts.items()
        },
        metrics=_metrics(space, archive, at),
        sources=archive.source_counts(),
        late=_late(builder.history, at),
        unobservable=builder.taxonomy.not_observable(builder.history.there),
        model_warnings=warnings,
        searchable=pack_customers(builder, scores, audience, titles, at=at),
        seed=config.seed,
        results=read_effects(space.output),
        result_history=read_history(space.output),
        accuracy=read_results(space.output, PREDICTION_ACCURACY),
        totals=spend_totals(run_facts, scores, audience, plan),
        churn=CHURN_WORDS[config.churn.by],
        guards=guard_findings(space, config),
        buyers=recency_and_frequency(days, net, _groups(builder.history.customers, scores), at),
        cohorts=cohorts(days, at),
        parameters=builder.taxonomy.parameters,
        gaps=order_gaps(builder.history, at),
        gap_limits=_gap_limits(builder),
        payback=acquisition_payback(
            Inputs(
                builder,
                spend=read_spend(config),
                sources=lead_sources(builder, read_tallies(space.output).attributes),
            ),
            at,
            margin=config.clv.margin or 1.0,
        ),
        has_margin=config.clv.margin is not None,
        outlook=outlook,
        outlook_sentences=outlook_sentences(
            outlook, builder.taxonomy.stages, monthly_spend(days, at, active), config.currency
        ),
        books=data_totals(builder.history, at, minor_units=config.minor_units),
    )


def _gap_limits(builder: Builder) -> dict[str, int]:
    """Limits of days since an order that config and stages set, by what they decide."""
    limits = {}
    if builder.config.activity_days is not None:
        limits["active"] = builder.config.activity_days
    silent = [stage.name for stage in builder.taxonomy.stages if stage.silent == "purchase"]
    if silent and _LAPSE in builder.taxonomy.parameters:
        limits[silent[0]] = int(builder.taxonomy.parameters[_LAPSE])
    return limits


def _groups(customers: Array, scores: pd.DataFrame) -> pd.DataFrame:
    """Stage and segment of every customer of a history; null without scores."""
    by_customer = scores.set_index(scores["customer_id"].astype(str))[["stage", "segment"]]
    return by_customer.astype(str).reindex(customers.astype(str))


def _exclusions(folder: Any) -> pd.DataFrame:
    path = folder / "audiences" / "exclusions.csv"
    column_names = ["campaign_id", "reason", "customers"]
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=column_names)


def _expected(
    archive: Archive, part: Any, scores: pd.DataFrame, context: Mapping[str, Any], at: int
) -> tuple[pd.DataFrame, int]:
    """Sum the expected moves of the next month by stage, segment and new stage."""
    features, weight = archive.features(at).reset_index(drop=True), 1.0
    if len(features) > _MOST_FORECAST:
        generator = np.random.default_rng(archive.builder.config.seed)
        chosen = np.sort(generator.choice(len(features), size=_MOST_FORECAST, replace=False))
        weight, features = (
            len(features) / _MOST_FORECAST,
            features.iloc[chosen].reset_index(drop=True),
        )
    moves = expected_moves(part, features, context, within_days=_MONTH_DAYS)
    groups = scores.set_index("customer_id").loc[features["customer_id"], ["stage", "segment"]]
    groups = groups.reset_index(drop=True).astype(str)
    table = expected_by_group(moves, groups, archive.builder.taxonomy.names)
    table["expected"] *= weight
    return table, moves.days


def _tests(
    space: Workspace,
) -> tuple[str, list[dict[str, Any]], list[str], dict[str, pd.DataFrame]]:
    """Return what the training measured: scorer version, records, warnings, tables."""
    if not (space.training / "training.json").is_file():
        return "", [], [], {}
    training = space.read("training.json")
    tables = {
        table_name: pd.read_csv(path)
        for table_name in _TEST_TABLES
        if (path := space.training / "figures" / f"{table_name}.csv").is_file()
    }
    version, figures = str(training["scorer"]["version"]), list(training["figures"])
    return version, figures, training_warnings(training), tables


def _metrics(space: Workspace, archive: Archive, at: int) -> pd.DataFrame:
    """Return the stage metrics of the last twelve whole months; empty without a whole month."""
    builder, config = archive.builder, space.config()
    try:
        months = periods(None, day_date(at), None, begin=day_date(builder.span.first))
    except UserError:
        return pd.DataFrame()
    tallies = read_tallies(space.output)
    inputs = Inputs(
        builder,
        sessions=None if tallies.sessions is None else tallies.sessions.to_pandas(),
        spend=read_spend(config),
        scores=published_scores(space.output, months),
        sources=lead_sources(builder, tallies.attributes),
    )
    return metric_table(inputs, months)


def _late(history: Any, at: int) -> LateEvents:
    """Count the events of the year before `at` that arrived after their day."""
    total, delays = 0, []
    for events in history.roles.values():
        recent = (events.day >= at - 365) & (events.day < at)
        total += int(events.count[recent].sum())
        late = events.late
        counted = (late.day >= at - 365) & (late.day < at) & (late.count > 0)
        delays.append(np.repeat((late.known_day - late.day)[counted], late.count[counted]))
    waits = np.concatenate([*delays, np.zeros(0, dtype=np.int64)])
    return LateEvents(len(waits), total, float(np.median(waits)) if len(waits) else None)
