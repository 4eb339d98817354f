"""Commands about campaigns: plan and publish, why, measure, uplift."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.errors import UserError
from flows import settings

if TYPE_CHECKING:
    from campaigns.assignment import CampaignPlan

Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder of all results.", file_okay=False)
]
OUTPUTS = Path("outputs")


def prepared(
    output: Path, config: str | None, campaigns: Path | None, overrides: list[str] | None
) -> str:
    """Resolved output folder; the playbooks of a folder replace the config's."""
    from flows.workspace import prepare

    given = list(overrides or ())
    if campaigns is not None:
        files = sorted(campaigns.glob("*.yaml")) if campaigns.is_dir() else []
        if not files:
            raise UserError(
                "--campaigns", found=f"no playbooks in {campaigns}", expected="a folder of *.yaml"
            )
        given.append(f"campaigns={json.dumps([str(file.absolute()) for file in files])}")
    return str(prepare(output, config, tuple(given)).output)


def register(app: typer.Typer, run: Callable[..., Any]) -> None:
    """Add the commands; `run` starts a flow in the local settings."""

    @app.command()
    def target(
        config: Annotated[
            str | None, typer.Option("--config", "-c", help="YAML; default: the output folder's.")
        ] = None,
        campaigns: Annotated[
            Path | None, typer.Option(help="Folder of playbooks instead of the config's.")
        ] = None,
        output: Output = OUTPUTS,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan only.")] = False,
        confirm_entrants: Annotated[
            bool, typer.Option("--confirm-entrants", help="Release exports that wait.")
        ] = False,
        campaign: Annotated[
            list[str] | None, typer.Option(help="Confirm only these; may be repeated.")
        ] = None,
        overrides: Annotated[
            list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")
        ] = None,
    ) -> None:
        """Plan the audiences anew from the current scores, e.g. after a playbook has changed."""
        settings.apply(output.absolute())
        folder = prepared(output, config, campaigns, overrides)
        confirm = tuple(campaign or ("*",)) if confirm_entrants else None
        if dry_run:
            _dry(Path(folder), confirm)
            return
        from flows.tables import print_scores
        from flows.target import retarget_flow

        run(retarget_flow, folder, confirm)
        print_scores(Path(folder))

    @app.command()
    def why(
        customer: Annotated[str, typer.Argument(help="Customer id.")],
        campaign: Annotated[str, typer.Option("--campaign", "-C", help="Campaign id.")],
        output: Output = OUTPUTS,
    ) -> None:
        """Why a customer is in a campaign, or is not."""
        settings.apply(output.absolute())
        folder = prepared(output, None, None, None)
        typer.echo(reason_of(_current_plan(Path(folder), None), customer, campaign))


def _current_plan(folder: Path, confirm: tuple[str, ...] | None) -> CampaignPlan:
    from features import store
    from flows.plan import planned_from
    from flows.workspace import Workspace, settle_config

    try:
        current = store.read_current(folder).run
        return planned_from(Workspace(folder), current.run_id, confirm=confirm).plan
    finally:
        settle_config(folder, keep=False)


def _dry(folder: Path, confirm: tuple[str, ...] | None) -> None:
    print_plan(_current_plan(folder, confirm))


def print_plan(plan: CampaignPlan) -> None:
    """The plan as tables: sizes, value, detectable effect; then who is left out, and why."""
    from flows.console import console, table

    header = [
        "campaign", "eligible", "barred", "overlap", "treatment", "control", "expected value",
        "value is", "cost", "detectable effect", "export",
    ]  # fmt: skip
    rows = [
        (
            row.campaign_id, row.eligible, row.barred, row.overlap, row.treatment, row.control,
            float(row.expected_value), row.value_label, float(row.cost),
            None if row.smallest_detectable_effect != row.smallest_detectable_effect
            else float(row.smallest_detectable_effect),
            "plan only" if row.plan_only else f"waits: {row.held}" if row.held else "ready",
        )
        for row in plan.table.itertuples()
    ]  # fmt: skip
    table(f"Plan at {plan.snapshot_at:%Y-%m-%d} (nothing written)", header, rows)
    excluded = [(r.campaign_id, r.reason, r.customers) for r in plan.exclusions.itertuples()]
    table("Left out, at the first reason", ["campaign", "reason", "customers"], excluded)
    if plan.solution is not None:
        found = plan.solution
        console.print(
            f"Assignment by value ({found.method}): {found.value:,.2f}, no assignment can exceed "
            f"{found.bound:,.2f} (gap at most {found.gap:.4%})."
        )


def reason_of(plan: CampaignPlan, customer: str, campaign: str) -> str:
    """One paragraph: in the campaign with arm and dates, or the first reason why not.

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
            mend="customers without events, and visitors without a name, are not scored",
        )
    held = dict(zip(plan.table["campaign_id"], plan.table["held"], strict=True))[campaign]
    rows = plan.audience
    mine = rows[(rows["campaign_id"] == campaign) & (rows["customer_id"] == customer)]
    said = str(plan.why[campaign][plan.customers.get_loc(customer)])
    if said:
        left = " (was a member before)" if len(mine) else ""
        return f"{customer} is not in {campaign}: {said}{left}"
    row = mine.iloc[0]
    text = (
        f"{customer} is in {campaign}, {row['arm']} arm, rank {row['rank']:.0f}, "
        f"since {row['entered_at']:%Y-%m-%d} until {row['expires_at']:%Y-%m-%d}: {row['reasons']}"
    )
    if row["arm"] != "treatment":
        return f"{text}. The control arm gets no message and is in no export."
    if plan.plan_only:
        return f"{text}. Plan only: no consent is recorded, so no contact key is exported."
    return f"{text}. The export waits: {held}." if held else text
