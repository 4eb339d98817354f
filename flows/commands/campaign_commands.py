"""Commands about campaigns: target, why, measure, uplift."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.errors import UserError
from flows.commands.options import DEFAULT_OUTPUT, ConfigFile, JsonFile, OutputFolder, Settings
from flows.services import prefect_server, settings
from models.registry.tracking_server import check_tracking_server

if TYPE_CHECKING:
    import pandas as pd

    from campaigns.planning import CampaignPlan
    from flows.services.uplift import UpliftReport


def prepare_with_playbooks(
    output: Path,
    config: str | None,
    campaigns: Path | None,
    overrides: list[str] | None,
    *,
    check: bool = False,
) -> str:
    """Prepare the output folder; playbooks of a folder replace those of the config.

    With `check` everything that planning reads is looked at first.
    """
    from flows.checks.check import PLANNING_GROUPS, prepare_checked
    from flows.services.workspace import prepare_workspace

    all_settings = list(overrides or ())
    if campaigns is not None:
        files = sorted(campaigns.glob("*.yaml")) if campaigns.is_dir() else []
        if not files:
            raise UserError(
                "--campaigns", found=f"no playbooks in {campaigns}", expected="a folder of *.yaml"
            )
        all_settings.append(f"campaigns={json.dumps([str(file.absolute()) for file in files])}")
    if check:
        return str(
            prepare_checked(output, config, tuple(all_settings), groups=PLANNING_GROUPS).output
        )
    return str(prepare_workspace(output, config, tuple(all_settings)).output)


def register_campaign_commands(app: typer.Typer, run: Callable[..., Any]) -> None:
    """Add the commands; `run` executes a flow with local settings."""

    @app.command()
    def target(
        config: ConfigFile = None,
        campaigns: Annotated[
            Path | None, typer.Option(help="Folder of playbooks instead of the config's.")
        ] = None,
        output: OutputFolder = DEFAULT_OUTPUT,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan only.")] = False,
        confirm_entrants: Annotated[
            bool, typer.Option("--confirm-entrants", help="Release held exports.")
        ] = False,
        campaign: Annotated[
            list[str] | None, typer.Option(help="Confirm only these; may be repeated.")
        ] = None,
        json_file: JsonFile = None,
        overrides: Settings = None,
    ) -> None:
        """Plan audiences again from the current scores, e.g. after a playbook has changed."""
        settings.apply_settings(output.absolute())
        if not dry_run:
            check_tracking_server()
            prefect_server.require_named_server()
        folder = prepare_with_playbooks(output, config, campaigns, overrides, check=True)
        confirm = tuple(campaign or ("*",)) if confirm_entrants else None
        if dry_run:
            _show_plan(_current_plan(Path(folder), confirm), json_file)
            return
        from flows.commands.result_tables import print_scores
        from flows.target import retarget_flow

        run(retarget_flow, folder, confirm)
        print_scores(Path(folder), json_file)

    @app.command()
    def why(
        customer: Annotated[str, typer.Argument(help="Customer id.")],
        campaign: Annotated[str, typer.Option("--campaign", "-C", help="Campaign id.")],
        output: OutputFolder = DEFAULT_OUTPUT,
        json_file: JsonFile = None,
    ) -> None:
        """Explain why a customer is in a campaign or not."""
        settings.apply_defaults()
        folder = prepare_with_playbooks(output, None, None, None)
        from features.sources.keys import key_value
        from flows.services.console import deliver_result

        customer = key_value(customer) or customer
        plan = _current_plan(Path(folder), None, as_exported=True)
        explanation = membership_reason(plan, customer, campaign)
        content = {"customer_id": customer, "campaign_id": campaign, "why": explanation}
        deliver_result(content, json_file, lambda: typer.echo(explanation))

    @app.command()
    def measure(
        output: OutputFolder = DEFAULT_OUTPUT,
        experiment: Annotated[
            Path | None,
            typer.Option(
                help="Table of an experiment from elsewhere, with the columns arm, outcome."
            ),
        ] = None,
        control: Annotated[str, typer.Option(help="Control arm of the experiment.")] = "control",
        covariate: Annotated[
            list[str] | None,
            typer.Option(help="Column of the experiment known before the draw; may be repeated."),
        ] = None,
        per: Annotated[
            str | None,
            typer.Option(help="Column that the outcome is divided by, such as orders."),
        ] = None,
        decisions: Annotated[
            Path | None,
            typer.Option(help="CSV file for the own campaigns as a log for `policy evaluate`."),
        ] = None,
        json_file: JsonFile = None,
    ) -> None:
        """Measure the effect of campaigns: treatment against control group, from later events."""
        settings.apply_settings(output.absolute())
        from flows.services.console import deliver_result, json_rows

        if experiment is not None:
            from flows.commands.experiment_results import measure_experiment

            measure_experiment(experiment, control, covariate or [], per, json_file)
            return
        folder = prepare_with_playbooks(output, None, None, None)
        from features.storage import scores_store
        from features.storage.output_lock import exclusive
        from flows.services.measure import measure as measured

        with exclusive(Path(folder), "measure"):
            effects, waiting = measured(Path(folder), decisions)
            scores_store.publish_results(Path(folder))
        deliver_result(
            {"effects": json_rows(effects), "not_yet_measurable": json_rows(waiting)},
            json_file,
            lambda: _print_measurement(effects, waiting, folder=Path(folder)),
        )

    @app.command()
    def uplift(
        experiment: Annotated[str, typer.Argument(help="YAML of the experiment.")],
        output: OutputFolder = DEFAULT_OUTPUT,
        threads: Annotated[int, typer.Option(min=1, max=256)] = 1,
        json_file: JsonFile = None,
    ) -> None:
        """Measure a randomised send, and learn which customers respond because of it."""
        settings.apply_settings(output.absolute())
        from flows.services.console import deliver_result
        from flows.services.uplift import UPLIFT_FOLDER, run_uplift

        report = run_uplift(experiment, output.absolute(), threads=threads)
        folder = output / UPLIFT_FOLDER / report.name
        deliver_result(asdict(report), json_file, lambda: _print_uplift(report, folder))


def _print_uplift(report: UpliftReport, folder: Path) -> None:
    """Print the effect of the message, then the quality of each ranking by uplift."""
    from flows.services.console import console, print_table

    measured_lift = report.lift
    console.print(
        f"Effect of the message: {measured_lift.difference:.5f} per person (95 % interval "
        f"{measured_lift.low:.5f} to {measured_lift.high:.5f}); sample ratio p = "
        f"{report.sample_ratio_p:.3f}"
    )
    ranking_rows = [
        (
            name, f"{r.qini:.6f}", f"{r.low:.6f} to {r.high:.6f}", f"{r.auuc:.6f}",
            *(f"{gain:.5f}" for gain in r.at_shares.values()),
            "-" if name not in report.beats else f"{report.beats[name]:.0%}",
        )
        for name, r in report.rankings.items()
    ]  # fmt: skip
    shares = next(iter(report.rankings.values())).at_shares
    header = ["ranking", "Qini", "95 % interval", "AUUC",
              *(f"gain at {share:.0%}" for share in shares), "uplift is better in"]  # fmt: skip
    print_table(
        f"{report.name}: {report.people:,} people, models never saw them", header, ranking_rows
    )
    console.print(f"model, curves and report: {folder}", soft_wrap=True)


def _print_measurement(effects: pd.DataFrame, waiting: pd.DataFrame, *, folder: Path) -> None:
    """Print effects of whole campaigns as a table; effects by group are in the file."""
    from flows.services.console import console, print_table

    header = ["campaign", "outcome", "n", "held out", "treatment", "control", "difference",
              "95 % interval, read daily", "incremental total", "answer", "note"]  # fmt: skip
    overall_effects = effects[effects["by"].isin(["all", "month"])]
    effect_rows = [
        (
            row.campaign_id if row.by == "all" else f"{row.campaign_id} {row.group_name}",
            row.outcome, int(row.n_treatment), int(row.n_control),
            row.treatment, row.control, row.difference,
            f"{row.low_any_time:.4f} to {row.high_any_time:.4f}",
            row.incremental_total, row.answer, row.note,
        )
        for row in overall_effects.itertuples()
    ]  # fmt: skip
    print_table(
        "Effects (treatment minus control, a person, intention to treat)", header, effect_rows
    )
    unmeasurable = [(r.campaign_id, r.people, str(r.measurable_from), r.reason)
             for r in waiting.itertuples()]  # fmt: skip
    print_table("Not yet measurable", ["campaign", "people", "from", "why"], unmeasurable)
    console.print(f"by channel and stage: {folder / 'measurement' / 'effects.csv'}", soft_wrap=True)


def _current_plan(
    folder: Path, confirm: tuple[str, ...] | None, *, as_exported: bool = False
) -> CampaignPlan:
    """Plan of the current scores; with the entrants confirmed that its last export confirmed."""
    from features.storage import scores_store
    from flows.services.campaign_plan import exported_campaigns, plan_run
    from flows.services.workspace import Workspace, settle_config

    try:
        space, run_id = Workspace(folder), scores_store.read_current(folder).run.run_id
        if as_exported:
            confirm = exported_campaigns(space, run_id)
        return plan_run(space, run_id, confirm=confirm).plan
    finally:
        settle_config(folder, keep=False)


def _show_plan(plan: CampaignPlan, json_file: Path | None) -> None:
    """Show the plan as tables, or as JSON."""
    from flows.services.console import deliver_result, json_rows

    content = {
        "snapshot_at": f"{plan.snapshot_at:%Y-%m-%d}",
        "campaigns": json_rows(plan.table),
        "offers": json_rows(plan.offers),
        "excluded": json_rows(plan.exclusions),
    }
    deliver_result(content, json_file, lambda: _print_plan(plan))


def _whole(money: float) -> int | None:
    """An amount without fraction, to keep numbers on one line of the table."""
    return round(money) if math.isfinite(money) else None


def _print_plan(plan: CampaignPlan) -> None:
    """Print the plan: sizes, value, detectable effect; then excluded customers by reason."""
    from campaigns.plan_prices import LEAST_PRICE, price_sentences
    from flows.services.console import console, print_table

    header = [
        "campaign", "eligible", "barred", "overlap", "treatment", "control", "value", "cost",
        "detectable", "export",
    ]  # fmt: skip
    campaign_rows = [
        (
            row.campaign_id, row.eligible, row.barred, row.overlap, row.treatment, row.control,
            _whole(row.expected_value), _whole(row.cost),
            None if row.smallest_detectable_effect != row.smallest_detectable_effect
            else float(row.smallest_detectable_effect),
            "plan only" if row.plan_only else f"waits: {row.held}" if row.held else "ready",
        )
        for row in plan.table.itertuples()
    ]  # fmt: skip
    # Where nobody is barred or wanted twice, the columns say nothing.
    shown_columns = [
        number
        for number, name in enumerate(header)
        if name not in ("barred", "overlap") or any(row[number] for row in campaign_rows)
    ]
    shown_rows = [[row[number] for number in shown_columns] for row in campaign_rows]
    print_table(
        f"Plan at {plan.snapshot_at:%Y-%m-%d} (nothing written)",
        [header[number] for number in shown_columns],
        shown_rows,
    )
    campaigns_by_label = plan.table.groupby("value_label", sort=False)["campaign_id"].agg(", ".join)
    for label, campaigns in campaigns_by_label.items():
        if label:
            console.print(f"value is {label}: {campaigns}")
    _print_offers(plan.offers)
    console.print("detectable: the smallest difference of two rates that the hold-out can show")
    excluded = [(r.campaign_id, r.reason, r.customers) for r in plan.exclusions.itertuples()]
    print_table("Left out, at the first reason", ["campaign", "reason", "customers"], excluded)
    if plan.solution is not None:
        solution = plan.solution
        console.print(
            f"Assignment by value ({solution.method}): {solution.value:,.2f}, no assignment can "
            f"exceed {solution.bound:,.2f} (gap at most {solution.gap:.4%})."
        )
        for sentence in price_sentences(plan.table):
            console.print(sentence)
        if solution.another_contact >= LEAST_PRICE:
            console.print(
                "One more contact for each of them would bring at most "
                f"{solution.another_contact:,.2f}."
            )


def _print_offers(offers: pd.DataFrame) -> None:
    """Print the offers of campaigns with several, and by which knowledge their value is known."""
    from campaigns.plan_prices import offer_price_sentences
    from flows.services.console import console, print_table

    if offers.empty:
        return
    header = [
        "campaign", "offer", "channel", "people", "drawn", "value", "cost", "draws cost",
    ]  # fmt: skip
    offer_rows = [
        (
            row.campaign_id, row.offer_name, row.channel, row.members, row.explored,
            _whole(row.expected_value), _whole(row.cost), _whole(row.exploration_cost),
        )
        for row in offers.itertuples()
    ]  # fmt: skip
    print_table("Offers", header, offer_rows)
    by_label = offers[offers["value_label"] != ""].groupby("value_label", sort=False)
    for label, rows in by_label:
        named = ", ".join(f"{row.campaign_id} {row.offer_name}" for row in rows.itertuples())
        console.print(f"value is {label}: {named}")
    console.print(
        "drawn: at random, to learn what the offers change; draws cost: expected value that the "
        "draws give up"
    )
    for sentence in offer_price_sentences(offers):
        console.print(sentence)


def membership_reason(plan: CampaignPlan, customer: str, campaign: str) -> str:
    """One sentence: the customer's arm and dates in the campaign, or the first reason against.

    Raises
    ------
    UserError
        For a campaign or customer that the plan does not know.
    """
    if campaign not in plan.why:
        raise UserError(
            "--campaign", found=campaign, expected=f"one of: {', '.join(sorted(plan.why))}"
        )
    if customer not in plan.customers:
        raise UserError(
            "CUSTOMER",
            found=repr(customer),
            expected=f"one of the {len(plan.customers):,} scored customers",
            hint="customers without events, and visitors without a name, are not scored",
        )
    held_reason = dict(zip(plan.table["campaign_id"], plan.table["held"], strict=True))[campaign]
    audience = plan.audience
    membership = audience[
        (audience["campaign_id"] == campaign) & (audience["customer_id"] == customer)
    ]
    plan_reason = str(plan.why[campaign][plan.customers.get_loc(customer)])
    if plan_reason:
        former_member = " (was a member before)" if len(membership) else ""
        return f"{customer} is not in {campaign}: {plan_reason}{former_member}"
    member_row = membership.iloc[0]
    offer = member_row["offer_name"]
    treated = member_row["arm"] == "treatment"
    offer_text = f" (offer {offer})" if treated and isinstance(offer, str) else ""
    text = (
        f"{customer} is in {campaign}, {member_row['arm']} arm{offer_text}, "
        f"rank {member_row['rank']:.0f}, "
        f"since {member_row['entered_at']:%Y-%m-%d} until {member_row['expires_at']:%Y-%m-%d}: "
        f"{member_row['reasons']}"
    )
    if not treated:
        return f"{text}. The control arm gets no message and is in no export."
    if plan.plan_only:
        return f"{text}. Plan only: no consent is recorded, so no contact key is exported."
    return f"{text}. The export waits: {held_reason}." if held_reason else text
