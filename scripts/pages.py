"""Write the pages that are made from the code: `python scripts/pages.py`.

docs/config-keys.md comes from the pydantic models, docs/scored-row.md from the contract,
docs/features.md and docs/metrics.md from their catalogues, docs/cli.md from the command line,
docs/model-cards/ from benchmarks/README.md and configs/ (`scripts/card_pages.py`), docs/imports.md
from the imports of the code (`scripts/import_picture.py`), docs/schemas/ from the models again
(`scripts/schema_pages.py`).
"""

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer.main
from pydantic import BaseModel

from features.config.config import Config
from features.config.guards import GUARDS
from features.contracts import SCORED_ROW
from features.metrics.metric_catalog import METRICS
from features.table.families import catalogue
from features.table.families.feature import Feature, FeatureSpec
from flows.commands.cli import app
from scripts.card_pages import CARD_PAGES
from scripts.import_picture import imports_page
from scripts.schema_pages import SCHEMAS
from scripts.worked_example import worked_example

SCORED_HEAD = """# The scored row

`customer_scores` has one row per customer. In addition to the columns below, every declared
attribute has `preferred_<attribute>` (bought) and `interest_<attribute>` (viewed or clicked): the
value that the customer most likely chooses. Each has `_share` (probability, 0 to 1) and `_n`
(number of known lines); both values are null if `_n` is 0. The share is shrunk toward that of all
customers, more strongly for customers with few lines. The weight is learned from how similar the
choices of one customer are. After one purchase, the preferred value is therefore usually the
customer's own, but may be the most frequent value of all customers.

| column | type | meaning | null means |
|---|---|---|---|
"""

FEATURES_HEAD = """# The features

Every column that the models may read, for an example with the roles purchase and sent, the
windows 30 and 90 days, the attribute brand, and contracts (`churn.by: cancel`; other data have no
`contract__*`). Other roles, windows and attributes add columns of the same form. All are float64.
Windows are whole local days before the snapshot. The models also read the timers of the rule engine
(`stage__*`, see [architecture](architecture.md)).

| column | unit | meaning | missing means |
|---|---|---|---|
"""
METRICS_HEAD = """# The metrics of the life cycle

These are the metrics of `stagecast metrics`. A taxonomy names the metrics of each stage
(`metrics`, and `our_metrics` for those that its source does not name), by any of the names below.
For a stage, a metric covers the customers who were in it when the period began (*end*: when it
ended; *all*: all customers, without stages). Periods are half-open and consist of whole local
days. Metrics use everything that is known now, but a customer's stage at a date is what was known
before that date. A figure with n under 30 is hidden. A figure without data says which data it
needs.

| metric | in files | unit | customers | meaning |
|---|---|---|---|---|
"""
CLI_HEAD = """# The command line

`stagecast COMMAND --help` prints the same text. From a clone put `uv run` before it, or activate
the environment once (`source .venv/bin/activate`). Put `--quiet` and `--verbose` before the
command: `stagecast --quiet score`. Steps, progress and warnings go to standard error, results to
standard output, so that you can pipe `stagecast doctor --json -`.
`stagecast --install-completion` adds completion of commands and options to your shell (bash, zsh,
fish, PowerShell).

| exit code | meaning | what to do |
|---|---|---|
| 0 | success | |
| 1 | a bug in stagecast, with its traceback | report it |
| 2 | a problem in your input; one message says where, what is expected, and a fix | fix it |
| 3 | `stagecast monitor`: there is an alarm | look at the page that it names |

"""
CONFIG_HEAD = """# All config keys

Every key of the config file with its type and default, generated from the models that check it.
Their meaning, with examples: [the config file](config.md). `[]` means each entry of a list,
`<name>` a name of your own. *required*: the block is invalid without the key.

| key | type | default |
|---|---|---|
"""
EXAMPLE = FeatureSpec(
    windows=(30, 90), roles=("purchase", "sent"), attributes=("brand",), contracts=True
)


def scored_row() -> str:
    """Text of the page about the scored row."""
    rows = [f"| `{c.name}` | {c.dtype} | {c.meaning} | {c.null or '-'} |" for c in SCORED_ROW]
    return SCORED_HEAD + "\n".join(rows) + "\n"


def features() -> str:
    """Text of the page about the features."""

    def row(feature: Feature) -> str:
        return f"| `{feature.name}` | {feature.unit} | {feature.meaning} | {feature.null or '-'} |"

    return FEATURES_HEAD + "\n".join(row(feature) for feature in catalogue(EXAMPLE)) + "\n"


def metrics() -> str:
    """Text of the page about stage metrics."""
    scope = {"site": "all", "start": "start", "end": "end"}
    rows = [
        f"| {', '.join(m.names)} | `{m.key}` | {m.unit} | {scope[m.when]} | {m.meaning} |"
        for m in METRICS
    ]
    return METRICS_HEAD + "\n".join(rows) + "\n"


def config_keys() -> str:
    """Text of the page about every config key."""
    return CONFIG_HEAD + "\n".join(_keys(Config, "")) + "\n"


def _keys(model: type[BaseModel], prefix: str) -> list[str]:
    """Rows of a block and of the blocks within it."""
    rows = []
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        blocks = list(dict.fromkeys(_blocks(field.annotation, "")))
        required = field.is_required()
        default = "" if blocks and not required else _default(field.get_default())
        rows.append(
            f"| `{path}` | {_type(field.annotation)} | {'required' if required else default} |"
        )
        for block, how in blocks:
            rows += _keys(block, f"{path}{how}.")
    return rows


def _blocks(annotation: Any, how: str) -> Iterator[tuple[type[BaseModel], str]]:
    """Blocks within a type, and how they are reached."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, how
        return
    inner = get_args(annotation)
    if get_origin(annotation) is tuple:
        how, inner = how + "[]", inner[:1]
    elif get_origin(annotation) is dict:
        how, inner = how + ".<name>", inner[1:]
    for each in inner:
        yield from _blocks(each, how)


def _type(annotation: Any) -> str:
    """A type in words."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "block"
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin is Annotated:
        return _type(inner[0])
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"mapping to {_type(inner[1])}"
    if inner:
        told = [_type(each) for each in inner if each is not type(None)]
        return " or ".join(dict.fromkeys(told))
    names = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        dt.date: "date",
    }
    return names.get(annotation, "anything")


def _default(value: Any) -> str:
    if value is None or value in ("", (), {}):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def cli() -> str:
    """Text of the page about the command line."""
    return CLI_HEAD + "\n".join(_command(typer.main.get_command(app), "stagecast")) + "\n"


def _command(command: Any, name: str) -> list[str]:
    """A command's heading, what it does and its options, and those of the commands below it."""
    lines = [f"## `{name}`", "", _plain(command.help or ""), ""]
    options = [p for p in command.params if not getattr(p, "hidden", False)]
    if options:
        lines += ["| option | default | meaning |", "|---|---|---|"]
        lines += [_option(option) for option in options]
        lines.append("")
    for child in getattr(command, "commands", {}).values():
        lines += _command(child, f"{name} {child.name}")
    return lines


def _option(option: Any) -> str:
    if option.param_type_name == "argument":
        shown = f"`{option.metavar or str(option.name).upper()}`"
    else:
        metavar = "" if option.is_flag else f" {option.metavar or _kind(option)}"
        shown = ", ".join(f"`{name}{metavar}`" for name in option.opts)
    default = option.default
    unset = default is None or option.is_flag or "UNSET" in repr(default).upper()
    told = "required" if option.required else "" if unset or default == [] else f"`{default}`"
    return f"| {shown} | {told} | {_plain(option.help or '')} |"


def _kind(option: Any) -> str:
    kind = str(option.type_descriptor.annotation)
    return "PATH" if "Path" in kind else "NUMBER" if "int" in kind else "TEXT"


def _plain(text: str) -> str:
    """Help without the markup of a terminal, its paragraphs as paragraphs."""
    text = re.sub(r"\[bold\](.*?)\[/\]", r"`\1`", text)
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


_GUARDS_ABOVE = """\
# Guards of the data

Every run checks the events that it has read. A guard that refuses stops the run; one that warns
prints a message. The report shows all findings under Data quality. The key `guards` of a config
changes the action or the threshold:

```yaml
guards: {feed_gap: ignore, heavy_id: {action: refuse, threshold: 0.2}}
placeholder_ids: ["0", guest]   # ids without a person behind them: their events are left out
```

| guard | finds | threshold | action | what to do |
|---|---|---|---|---|"""
_GUARDS_BELOW = """
Each row is checked for ids that were rounded, unreadable times and amounts, and times before
`earliest` (an empty time turns into 1970-01-01 in many programs). Of the rows of one `event_id`,
customer and day the last counts: an edit replaces what stood before.
"""


def guards() -> str:
    """The guards of the data, from their table."""
    rows = [
        f"| `{guard.name}` | {guard.meaning} | {guard.threshold:g} | {guard.action} | "
        f"{guard.hint} |"
        for guard in GUARDS
    ]
    return "\n".join([_GUARDS_ABOVE, *rows, _GUARDS_BELOW])


PAGES = {
    "cli.md": cli,
    "guards.md": guards,
    "config-keys.md": config_keys,
    "scored-row.md": scored_row,
    "features.md": features,
    "metrics.md": metrics,
    "imports.md": imports_page,
    "worked-example.md": worked_example,
    **CARD_PAGES,
    **SCHEMAS,
}

if __name__ == "__main__":
    docs = Path(__file__).parent.parent / "docs"
    for name, page in PAGES.items():
        (docs / name).write_text(page(), encoding="utf-8")
