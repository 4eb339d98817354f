"""Commands about campaigns: target, why, measure, uplift."""

from __future__ import annotations

import json
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
            Path | None,
            typer.Option(help="Folder of playbooks; from now on they replace the config's."),
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
            _show_current_plan(Path(folder), confirm, json_file)
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
        plan = _exported_plan(Path(folder))
        explanation = membership_reason(plan, customer, campaign)
        offers = offer_reasons(plan, customer, campaign)
        content = {"customer_id": customer, "campaign_id": campaign, "why": explanation}
        content |= {"offers": ". ".join(offers)} if offers else {}
        deliver_result(content, json_file, lambda: typer.echo("\n".join([explanation, *offers])))

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
    import pandas as pd

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
    unmeasurable = [
        (r.campaign_id, r.people, None if pd.isna(r.measurable_from) else str(r.measurable_from),
         r.reason)
        for r in waiting.itertuples()
    ]  # fmt: skip
    print_table("Not yet measurable", ["campaign", "people", "from", "why"], unmeasurable)
    console.print(f"by channel and stage: {folder / 'measurement' / 'effects.csv'}", soft_wrap=True)


def _exported_plan(folder: Path) -> CampaignPlan:
    """Plan of the current scores, with the entrants confirmed that its last export confirmed."""
    from features.storage import scores_store
    from flows.services.campaign_plan import exported_campaigns, plan_run
    from flows.services.workspace import Workspace, settle_config

    try:
        space, run_id = Workspace(folder), scores_store.read_current(folder).run.run_id
        return plan_run(space, run_id, confirm=exported_campaigns(space, run_id)).plan
    finally:
        settle_config(folder, keep=False)


def _show_current_plan(
    folder: Path, confirm: tuple[str, ...] | None, json_file: Path | None
) -> None:
    """Show the plan of the current scores, and what past decisions say of its offers."""
    from features.storage import scores_store
    from flows.commands.plan_tables import show_plan
    from flows.services.campaign_plan import plan_run
    from flows.services.plan_value import plan_values
    from flows.services.workspace import Workspace, settle_config

    try:
        space, run_id = Workspace(folder), scores_store.read_current(folder).run.run_id
        plan = plan_run(space, run_id, confirm=confirm).plan
        values = plan_values(space, plan, run_id)
    finally:
        settle_config(folder, keep=False)
    show_plan(plan, values, json_file)


def offer_reasons(plan: CampaignPlan, customer: str, campaign: str) -> list[str]:
    """Say what each offer is worth for a customer, and why it is this one; none without offers.

    The contact price and the own send time follow where there are any.
    """
    position = plan.customers.get_loc(customer)
    choice = plan.offer_choices.get(campaign)
    sentences = [] if choice is None else choice.sentences(position)
    rows = plan.audience
    own = rows[(rows["campaign_id"] == campaign) & (rows["customer_id"] == customer)]
    for row in own[own["change"] != "removed"].itertuples():
        times = [f"{row.send_hour:.0f}:00"] if row.send_hour == row.send_hour else []
        times += [row.send_weekday] if isinstance(row.send_weekday, str) else []
        if times:
            sentences.append(f"Best time to send: {', '.join(times)}")
    return sentences


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
