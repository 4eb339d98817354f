"""`stagecast policy evaluate`: what another policy would have earned, from logged decisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import JsonFile

if TYPE_CHECKING:
    from campaigns.policy.estimates import PolicyValue


def register_policy(app: typer.Typer) -> None:
    """Add the commands of policies to the app."""
    policy = typer.Typer(no_args_is_help=True, help="Who gets which offer, and what it earns.")
    app.add_typer(policy, name="policy")

    @policy.command()
    def evaluate(
        log: Annotated[Path, typer.Argument(help="Table of decisions: offer, propensity, reward.")],
        policy: Annotated[
            list[str],
            typer.Option(
                help="uniform, always:OFFER, column:NAME (offer of each row) or log:FILE (offers "
                "as often as in another log); may be repeated."
            ),
        ],
        offer: Annotated[str, typer.Option(help="Column of what was done.")] = "offer",
        propensity: Annotated[
            str, typer.Option(help="Column of the probability with which it was drawn.")
        ] = "propensity",
        reward: Annotated[str, typer.Option(help="Column of what came of it.")] = "reward",
        by: Annotated[
            list[str] | None,
            typer.Option(help="Column by which policies may differ; may be repeated."),
        ] = None,
        covariate: Annotated[
            list[str] | None,
            typer.Option(help="Column that helps to predict the reward; may be repeated."),
        ] = None,
        person: Annotated[
            str | None, typer.Option(help="Column of the person, if some have several rows.")
        ] = None,
        json_file: JsonFile = None,
    ) -> None:
        """Estimate what policies would have earned in the decisions of a log, before any mail."""
        from campaigns.policy.estimates import logged_value, policy_value
        from campaigns.policy.reward_model import expected_reward
        from flows.services.console import deliver_result, json_rows
        from flows.setup.decision_file import LogColumns, read_decisions

        columns = LogColumns(
            offer, propensity, reward, tuple(by or ()), tuple(covariate or ()), person
        )
        decisions = read_decisions(log, columns, policy)
        expected = expected_reward(decisions.log, seed=0)
        values = [
            policy_value(decisions.log, candidate, expected) for candidate in decisions.policies
        ]
        import pandas as pd

        logged = logged_value(decisions.log)
        deliver_result(
            {
                "decisions": len(decisions.log),
                "logged": dict(zip(("value", "low", "high"), logged, strict=True)),
                "policies": json_rows(pd.DataFrame(values)),
            },
            json_file,
            lambda: _print_values(len(decisions.log), logged, values),
        )


def _print_values(
    count: int, logged: tuple[float, float, float], values: list[PolicyValue]
) -> None:
    """Print the rewards of the log and of every policy, and where the log cannot tell."""
    from flows.services.console import console, interval_text, print_table, short_number

    rows: list[tuple[object, ...]] = [
        ("as logged", short_number(logged[0]), interval_text(*logged[1:]), "-", f"{count:,}", "")
    ]
    rows += [
        (
            value.policy, short_number(value.value), interval_text(value.low, value.high),
            interval_text(value.gain_low, value.gain_high), f"{value.effective:,.0f}",
            _answer(value),
        )
        for value in values
    ]  # fmt: skip
    header = ["policy", "reward", "95 % interval", "more than logged", "decisions", "answer"]
    print_table(f"Reward per decision, by {count:,} logged decisions", header, rows)
    for value in values:
        if value.unknown:
            console.print(f"{value.policy}: {value.unknown}", highlight=False)


def _answer(value: PolicyValue) -> str:
    if value.unknown:
        return "the log cannot tell"
    if value.gain_low > 0:
        return "earns more"
    return "earns less" if value.gain_high < 0 else "no difference shown"
