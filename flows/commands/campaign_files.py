"""The commands `stagecast campaign new` and `campaign check`: playbooks as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import Problems, UserError
from features.similar_names import did_you_mean
from flows.commands.options import DEFAULT_OUTPUT, ConfigFile, JsonFile, OutputFolder

if TYPE_CHECKING:
    from campaigns.playbook import Playbook
    from features.config.config import Config
    from flows.setup.playbook_draft import PlaybookAnswers

app = typer.Typer(no_args_is_help=True, help="Playbooks: write a new one, check files.")


@app.command()
def new(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Id of the campaign: small letters, _.")
    ] = None,
    goal: Annotated[
        str | None, typer.Option(help="What it is for: win-back, keep, next-order or first-order.")
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="email, sms, push, letter, ...; repeatable, the preferred one first."),
    ] = None,
    offer: Annotated[str | None, typer.Option(help="What people get, in your words.")] = None,
    discount: Annotated[
        float | None, typer.Option(min=0, max=0.99, help="Share of the order: 0.1 is 10 %.")
    ] = None,
    title: Annotated[str, typer.Option(help="Name for people; default: that of the goal.")] = "",
    stage: Annotated[
        list[str] | None,
        typer.Option(help="Address this stage; repeatable. Default: those of the goal."),
    ] = None,
    every: Annotated[
        str, typer.Option(help="When newcomers enter: day, week, month or quarter.")
    ] = "day",
    days: Annotated[
        int, typer.Option(min=1, max=3650, help="Days of a membership, and of success.")
    ] = 30,
    metric: Annotated[
        str,
        typer.Option(help="What decides: response, orders, revenue, profit, revenue_per_order."),
    ] = "response",
    control_share: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Share of people without a message.")
    ] = 0.2,
    cost: Annotated[float, typer.Option(min=0, help="Cost of one message.")] = 0.0,
    capacity: Annotated[
        int | None, typer.Option(min=1, help="Most customers in it at once.")
    ] = None,
    priority: Annotated[int, typer.Option(min=1, max=1000, help="1 is served first.")] = 90,
    folder: Annotated[
        Path, typer.Option("--folder", file_okay=False, help="Where to write NAME.yaml.")
    ] = Path(),
    config: ConfigFile = None,
    output: OutputFolder = DEFAULT_OUTPUT,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Write a playbook with comments, and check it; an existing file is never replaced.

    In a terminal it asks for what the options do not say. With the config of --config or of the
    output folder, stages and channels are checked, too.
    """
    from flows.services.console import bold, command_text, console, deliver_result
    from flows.setup.playbook_draft import PlaybookAnswers
    from flows.setup.playbook_questions import complete

    said = {
        "campaign": name,
        "goal": goal,
        "channels": channel or None,
        "offer": offer,
        "discount": discount,
    }
    known = complete(said, asks=not yes)
    answers = PlaybookAnswers(
        **known,
        title=title,
        stages=tuple(stage or ()),
        cost=cost,
        every=every,
        days=days,
        control_share=control_share,
        metric=metric,
        capacity=capacity,
        priority=priority,
    )
    path, playbook = _write(answers, folder, _config_of(config, output))
    content = {"file": str(path), "campaign": playbook.campaign, "title": playbook.title}

    def show() -> None:
        console.print("written:", bold(path), highlight=False)
        listed = command_text(f"stagecast target --dry-run --campaigns {folder}")
        console.print("next: add the file to `campaigns` in your config, or look at the plan:")
        console.print("  ", bold(listed), highlight=False)

    deliver_result(content, json_file, show)


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Playbooks (YAML).")],
    config: ConfigFile = None,
    output: OutputFolder = DEFAULT_OUTPUT,
    json_file: JsonFile = None,
) -> None:
    """Check playbooks, and list every problem of all files at once; nothing is changed.

    With the config of --config or of the output folder, stages, channels and rules on the past are
    checked, too.
    """
    from campaigns.playbook import by_priority
    from campaigns.playbook_loading import playbooks_by_file
    from flows.services.console import deliver_result, print_table

    problems = Problems()
    settings = _config_of(config, output)
    playbooks = playbooks_by_file(files, problems)
    if settings is not None:
        with problems.collect():
            _check_against(playbooks, settings)
    good = {playbook.campaign: playbook for playbook in by_priority(playbooks.values())}
    content = {
        "ok": not problems.errors,
        "campaigns": sorted(good),
        "checked_with_config": settings is not None,
        "problems": [
            {
                "where": problem.where,
                "found": str(problem.found),
                "expected": problem.expected,
                "hint": problem.hint,
            }
            for problem in problems.errors
        ],
    }
    rows = [(name, book.kind, ", ".join(book.channels), book.title) for name, book in good.items()]
    scope = "" if settings is not None else " (no config: stages and rules on the past unchecked)"
    deliver_result(
        content,
        json_file,
        lambda: print_table(
            f"playbooks that can be read{scope}", ["campaign", "kind", "channel", "title"], rows
        ),
    )
    problems.refuse()


def _config_of(config: str | None, output: Path) -> Config | None:
    """Config that is named, or that of the output folder; None if there is none."""
    from features.config.config import find, load
    from flows.services.workspace import Workspace

    if config is not None:
        return load(find(config))
    own_file = Workspace(output.absolute()).config_file
    return load(own_file) if own_file.is_file() else None


def _check_against(playbooks: Mapping[Path, Playbook], config: Config) -> None:
    """Refuse what the stages, channels and roles of a config do not know."""
    from campaigns.customer_context import rules_on_history
    from campaigns.playbook_loading import problems_of_file, refuse_unknown_names
    from campaigns.stage_set import StageSet
    from features.lifecycle.taxonomy_parser import load_taxonomy
    from features.table.campaign_rules import FOREVER, MEDIAN_GAP, read_rules

    problems, taxonomy = Problems(), load_taxonomy(config)
    parameters = {**taxonomy.parameters, MEDIAN_GAP: FOREVER}
    for path, playbook in playbooks.items():
        with problems_of_file(problems, path):
            refuse_unknown_names(
                [playbook], config.channels, StageSet.of(taxonomy), config.customer_dates()
            )
        with problems_of_file(problems, path):
            read_rules(rules_on_history([playbook]), config, parameters=parameters)
    problems.refuse()


def _write(answers: PlaybookAnswers, folder: Path, config: Config | None) -> tuple[Path, Playbook]:
    """Write the playbook of some answers, after it was checked; its path and the playbook."""
    import tempfile

    from campaigns.playbook_loading import refuse_unknown_names
    from flows.setup.playbook_draft import playbook_text, write_playbook

    _refuse_unknown_stages(answers, config)
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / "new.yaml"
        draft.write_text(playbook_text(answers), encoding="utf-8")
        playbook = _read(draft)
    refuse_unknown_names([playbook], () if config is None else config.channels)
    return write_playbook(answers, folder), playbook


def _read(draft: Path) -> Playbook:
    """Playbook of a draft; problems name its keys, and not the file, which is about to go."""
    from campaigns.playbook_loading import load_playbook

    problems = Problems()
    try:
        return load_playbook(draft)
    except UserError as error:
        for problem in error.problems:
            where = problem.where.replace(str(draft), "the new playbook")
            problems.add(
                UserError(where, found=problem.found, expected=problem.expected, hint=problem.hint)
            )
        raise problems.joined() from None


def _refuse_unknown_stages(answers: PlaybookAnswers, config: Config | None) -> None:
    if config is None:
        return
    from features.lifecycle.taxonomy_parser import load_taxonomy

    names = load_taxonomy(config).names
    for stage in answers.stages:
        if stage not in names:
            raise UserError(
                "--stage",
                found=f"unknown stage {stage!r}",
                expected=f"one of: {', '.join(names)}",
                hint=did_you_mean(stage, names),
            )
