"""Write the pages that are made from the code: `python scripts/pages.py`.

docs/scored-row.md comes from the contract, docs/features.md and docs/metrics.md from their
catalogues.
"""

from pathlib import Path

from features.catalog import Feature, FeatureSpec, catalogue
from features.contracts import SCORED_ROW
from features.metric_catalog import METRICS

SCORED_HEAD = """# The scored row

One row a customer in `customer_scores`. Beside these columns stand, for every declared
attribute, `preferred_<attribute>` (bought) and `interest_<attribute>` (viewed or clicked): the
value the customer most likely chooses, each with `_share` (how often, 0 to 1) and `_n` (lines known
of the customer); empty where `_n` is 0. The share is drawn toward everybody's, the more so the less
is known of the customer, by a weight learned from how alike the choices of one customer are. So
after one purchase the likeliest value is mostly their own, but may be everybody's favourite.

| column | type | meaning | empty means |
|---|---|---|---|
"""

FEATURES_HEAD = """# The features

Every column that the models may read, for an example with the roles purchase and sent, the windows
30 and 90 days, and the attribute brand. Other roles, windows and attributes add columns of the same
form. All are float64. Windows are whole local days before the snapshot. Beside these stand the
rule engine's clocks (`stage__*`, see [architecture](architecture.md)).

| column | unit | meaning | missing means |
|---|---|---|---|
"""
METRICS_HEAD = """# The metrics of the life cycle

What `stagecast metrics` measures. A taxonomy names the metrics of each stage (`metrics`, and
`our_metrics` for those that its source does not name); any of the names below will do. In a
stage, a metric looks at the customers who were in it when the period began (*end*: when it ended;
*all*: it knows no stages). Periods are half-open and made of whole local days. Reports look back:
all that is known now counts, but a customer's stage at a date is what was known before it. A
figure with n under 30 is hidden, one whose data are not there says what it needs.

| metric | in files | unit | looks at | meaning |
|---|---|---|---|---|
"""
EXAMPLE = FeatureSpec(windows=(30, 90), roles=("purchase", "sent"), attributes=("brand",))


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


PAGES = {"scored-row.md": scored_row, "features.md": features, "metrics.md": metrics}

if __name__ == "__main__":
    docs = Path(__file__).parent.parent / "docs"
    for name, page in PAGES.items():
        (docs / name).write_text(page(), encoding="utf-8")
