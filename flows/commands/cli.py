"""The command line. Heavy imports wait until a command needs them, so that help comes at once."""

from __future__ import annotations

import atexit
import gc
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from features.config.secret_values import hidden
from features.errors import UserError
from flows.commands import (
    account_commands,
    backfill_command,
    bench,
    campaign_commands,
    campaign_files,
    catalog_command,
    check_command,
    doctor,
    horizons,
    init,
    mcp_command,
    metrics,
    monitor_command,
    policy_command,
    presets,
    privacy_commands,
    report_command,
    runs,
    schedule,
    serve_command,
    stages,
    webhook_command,
)
from flows.commands.flow_runs import (
    check_and_prepare,
    deliver_next,
    execute_flow,
    prepare_for_flow,
    prepare_output,
    print_next,
)
from flows.commands.options import (
    DEFAULT_OUTPUT,
    ConfigFile,
    ExampleConfig,
    JsonFile,
    OutputFolder,
    Settings,
)
from flows.services import settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Predict each customer's life-cycle stage, next transition, churn risk and lifetime "
    "value, and turn the predictions into audiences that can be measured.\n\n"
    "Start with [bold]stagecast run[/]: it works at once, on an example data set. For your own "
    "data let [bold]stagecast init[/] write a YAML file, and give it with --config.\n\n"
    "Exit codes: 0 done, 2 something for you to fix (one message says what), 1 a defect of ours, "
    "3 stagecast monitor raises an alarm.",
)

# New objects before the collector of cycles looks again; at its usual 700 it looks hundreds of
# times through what the imports alone create.
_NEW_OBJECTS = 100_000


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"stagecast {version('stagecast')}")
        raise typer.Exit


@app.callback()
def _everywhere(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Results and errors only; no steps, no progress.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also what Prefect logs of flows and tasks.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="The version."),
    ] = False,
) -> None:
    if quiet and verbose:
        raise UserError("--quiet", found="--verbose too", expected="one of the two")
    if quiet:
        from flows.services.console import progress_console

        progress_console.quiet = True
    if verbose:
        settings.enable_prefect_logging()


@app.command()
def run(
    config: ExampleConfig = None,
    output: OutputFolder = DEFAULT_OUTPUT,
    json_file: JsonFile = None,
    overrides: Settings = None,
) -> None:
    """Run everything: read, build features, train four models, promote, score, plan audiences.

    Results: scores and audiences in stagecast.duckdb, files under runs/, models in MLflow.
    """
    from flows.commands.example_config import example_config
    from flows.services.console import step

    config = config or example_config()
    step(f"stagecast: {config} -> {output}")
    settings.apply_settings(output.absolute())
    folder = check_and_prepare(output, config, overrides)
    from flows.services.progress_bars import working

    with working("loading the models' packages"):
        from flows.commands.result_tables import print_run
        from flows.run import run_flow
    print_run(Path(folder), execute_flow(run_flow, folder), json_file)


@app.command()
def features(
    config: ConfigFile = None,
    output: OutputFolder = DEFAULT_OUTPUT,
    json_file: JsonFile = None,
    overrides: Settings = None,
) -> None:
    """Read the sources and build point-in-time features (first step of run)."""
    settings.apply_settings(output.absolute())
    folder = prepare_for_flow(output, config, overrides, registry=False)
    from flows.features import features_flow

    deliver_next(
        execute_flow(features_flow, folder), json_file, f"stagecast train --output {output}"
    )


@app.command()
def train(
    config: ConfigFile = None,
    output: OutputFolder = DEFAULT_OUTPUT,
    json_file: JsonFile = None,
    overrides: Settings = None,
) -> None:
    """Train the four models from stored features, test them, register them with the scorer."""
    settings.apply_settings(output.absolute())
    folder = check_and_prepare(output, config, overrides)
    from flows.train import train_flow

    deliver_next(
        execute_flow(train_flow, folder), json_file, f"stagecast promote --output {output}"
    )


@app.command()
def promote(
    output: OutputFolder = DEFAULT_OUTPUT,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compare and print the decision only.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Compare the newest scorer with the champion; promote it if it passes the gate."""
    settings.apply_settings(output.absolute())
    folder = prepare_for_flow(output, None, None)
    from flows.commands.result_tables import print_decision
    from flows.promote import dry_run_flow, promote_flow

    print_decision(execute_flow(dry_run_flow if dry_run else promote_flow, folder), json_file)
    if not dry_run and json_file is None:
        print_next(f"stagecast score --output {output}")


@app.command()
def score(
    config: ConfigFile = None,
    output: OutputFolder = DEFAULT_OUTPUT,
    json_file: JsonFile = None,
    overrides: Settings = None,
) -> None:
    """Score all customers with the champion and publish scores and audiences."""
    settings.apply_settings(output.absolute())
    folder = check_and_prepare(output, config, overrides)
    from flows.commands.result_tables import print_scores
    from flows.score import nightly_flow

    execute_flow(nightly_flow, folder)
    print_scores(Path(folder), json_file)


@app.command()
def score_events(
    events: Annotated[
        str, typer.Argument(metavar="FILE|-", help="JSON lines or CSV; - reads standard input.")
    ],
    output: OutputFolder = DEFAULT_OUTPUT,
    at: Annotated[
        str | None, typer.Option(metavar="DATE", help="Snapshot; default: date of the last scores.")
    ] = None,
    since_run: Annotated[
        bool,
        typer.Option(
            "--since-run",
            help="The events are those since the last run, and are added to the stored history.",
        ),
    ] = False,
) -> None:
    """Score a few customers from all their raw events, with the last run's scorer; prints JSON.

    Columns: customer_id, event_type, occurred_at with its offset, and of known_at, value, order_id,
    channel, is_machine and your attributes what there is.
    """
    import json

    settings.apply_defaults()
    folder = Path(prepare_output(output, None, None))
    from flows.services.score_events import open_scorer, parse_date, read_events

    event_rows, snapshot_date = read_events(events), parse_date(at)
    scorer = open_scorer(folder, at=snapshot_date)
    result = scorer.score(event_rows, at=snapshot_date, since_run=since_run)
    print(json.dumps(result, indent=1, ensure_ascii=False))


@app.command()
def leads(
    output: OutputFolder = DEFAULT_OUTPUT,
    band: Annotated[
        list[str] | None, typer.Option(help="A, B, C or D; may be given more than once.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Maximum number of customers.")] = 50,
    json_file: JsonFile = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Also write the list as CSV.")
    ] = None,
) -> None:
    """Call list: customers without a purchase, most likely buyers first, with reasons.

    Based on the published scores; update them with stagecast score.
    """
    settings.apply_defaults()
    folder = prepare_output(output, None, None)
    from flows.commands.leads import call_list, print_list, write_call_list
    from flows.services.console import deliver_result

    ranked_leads = call_list(Path(folder), bands=[b.upper() for b in band or []], top=top)
    deliver_result(ranked_leads, json_file, lambda: print_list(ranked_leads))
    if csv_file is not None:
        write_call_list(ranked_leads, csv_file)


@app.command()
def explain(
    customer: Annotated[str, typer.Argument(help="Id of the customer.", metavar="CUSTOMER")],
    output: OutputFolder = DEFAULT_OUTPUT,
    json_file: JsonFile = None,
) -> None:
    """Explain a customer's scores: the three strongest reasons, with values."""
    settings.apply_defaults()
    folder = prepare_output(output, None, None)
    from flows.services.console import deliver_result
    from flows.services.reasons import explain_customer, print_explanation

    explanation = explain_customer(Path(folder), customer)
    deliver_result(explanation, json_file, lambda: print_explanation(explanation))


@app.command()
def backtest(
    config: ConfigFile = None,
    output: OutputFolder = DEFAULT_OUTPUT,
    origins: Annotated[
        str | None,
        typer.Option(help="Dates to train at, DATE,DATE,...; default: those of the config."),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(help="Models to test, from stage,transition,churn,clv; default: all."),
    ] = None,
    json_file: JsonFile = None,
    overrides: Settings = None,
) -> None:
    """Train at past dates and test on later events; writes backtest.json.

    Every model and baseline is measured at every origin on labels that its training never saw, with
    intervals; means over origins, plots and warnings are in the folder backtest/ and in MLflow.
    """
    settings.apply_settings(output.absolute())
    folder = prepare_for_flow(output, config, overrides)
    from flows.backtest import backtest_flow
    from flows.commands.result_tables import print_backtest
    from flows.services.workspace import backtest_models, backtest_origins

    origin_dates, task_names = backtest_origins(Path(folder), origins), backtest_models(models)
    result = execute_flow(backtest_flow, folder, origin_dates, task_names)
    print_backtest(result, json_file)


@app.command()
def rollback(output: OutputFolder = DEFAULT_OUTPUT, json_file: JsonFile = None) -> None:
    """Make the previous champion version the champion again."""
    settings.apply_settings(output.absolute())
    folder = prepare_output(output, None, None)
    from flows.commands.result_tables import print_rollback

    print_rollback(Path(folder), json_file)


@app.command()
def models(
    output: OutputFolder = DEFAULT_OUTPUT,
    json_file: JsonFile = None,
) -> None:
    """List the registered scorers: which is champion, since when, and why."""
    settings.apply_defaults()
    folder = prepare_output(output, None, None)
    from flows.commands.model_versions import print_models

    print_models(Path(folder), json_file)


@app.command()
def simulate(
    customers: Annotated[int, typer.Option(help="Number of customers.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 1,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the tables.", file_okay=False)
    ] = Path("outputs-simulated"),
    scenario: Annotated[
        str, typer.Option(help="reference (all kinds of engagement), btyd, or a YAML file.")
    ] = "reference",
    workers: Annotated[int, typer.Option(help="Number of parallel processes.")] = 2,
    json_file: JsonFile = None,
) -> None:
    """Simulate customers with a known truth (under truth/) as parquet, with a config to read."""
    from flows.services.console import deliver_result
    from flows.simulate import simulate as simulated

    counts = simulated(customers, seed, output, scenario, workers=workers)
    deliver_result(counts, json_file, lambda: None)


app.add_typer(stages.app, name="stages")
app.add_typer(campaign_files.app, name="campaign")
for command in (
    init.init, catalog_command.catalog, presets.presets, check_command.check, doctor.doctor,
    bench.bench, horizons.horizons, metrics.metrics, report_command.report, runs.runs,
    schedule.schedule, serve_command.serve, mcp_command.mcp, webhook_command.webhooks,
):  # fmt: skip
    app.command()(command)
campaign_commands.register_campaign_commands(app, execute_flow)
monitor_command.register_monitor(app, execute_flow)
backfill_command.register_backfill(app, execute_flow)
privacy_commands.register_privacy_commands(app)
policy_command.register_policy(app)
account_commands.register_accounts(app)


def main() -> None:
    """Entry point: print user errors with exit code 2; defects keep their traceback."""
    gc.set_threshold(_NEW_OBJECTS)
    # At the end the process gives all memory back at once, so nothing is left to collect.
    atexit.register(gc.freeze)
    try:
        app()
    except UserError as error:
        print(f"error: {hidden(str(error))}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        from flows.services.system_errors import as_user_error

        user_error = as_user_error(error)
        if user_error is None:
            # What Python itself would print, but for passwords that a message may quote.
            sys.stderr.write(hidden("".join(traceback.format_exception(error))))
            sys.exit(1)
        print(f"error: {user_error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
