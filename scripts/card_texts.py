"""What the model cards say beside their figures: what a model tells, of whom, how, its limits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CardText:
    """Texts of one card; rows of the benchmark tables that begin with `key` belong to it."""

    key: str
    title: str
    tells: str
    of: str
    columns: str
    how: str
    baseline: str
    task: str
    use: str
    limits: tuple[str, ...]


CARDS = (
    CardText(
        key="stage",
        title="current stage",
        tells="The stage a customer is in by now. The rules say what the events show; they cannot "
        "know yet who has already left. The model learns that from the past, when the silence "
        "that followed was already seen.",
        of="Everyone who exists at the snapshot.",
        columns="`stage_predicted`, `stage_confidence`, `stage_probabilities`",
        how="LightGBM over all stages at once, with the rule stage and its clocks among the "
        "features. A frequency table (how often each rule stage turned out as which) stands in "
        "where there is too little to learn from, or where it wins at validation.",
        baseline="the frequency table",
        task="stage",
        use="To see leavers before the rules do. Not to correct the rule stage: `stage` stays the "
        "fact, and campaigns may name either.",
        limits=(
            "Its truth is the rules with hindsight. If the rules do not fit the business, neither "
            "does the model. `stage.truth: history` takes the stages that a CRM recorded instead.",
            "The truth of a snapshot is known only after `stage.confirm_days`, so the model always "
            "learns from the season before.",
        ),
    ),
    CardText(
        key="transition",
        title="next transition",
        tells="The first change of the rule stage within the horizon: whether there is one, to "
        "which stage, and in which period.",
        of="Everyone who exists at the snapshot.",
        columns="`next_stage`, `next_stage_probabilities`, `p_move`, `expected_transition_at`",
        how="Two steps of LightGBM: first the destination, with *no change* as one of them; then "
        "the period, of those who move, given the destination. What the rules' own clocks say "
        "(the day a silent customer lapses) is among the features. Where rows are few, the mean "
        "of several seeds is served. A timer table stands in where it wins at validation.",
        baseline="the timer table: what became of customers with the same stage and clock",
        task="transition",
        use="To plan how many will move, and to write before the move. The date is a median: for "
        "half of the movers it comes earlier.",
        limits=(
            "Only the first change counts. A customer who lapses and comes back within the horizon "
            "counts as lapsed.",
            "Two fits that differ only in their seed differ by about 1 % of log loss on "
            "completejourney.",
        ),
    ),
    CardText(
        key="churn",
        title="churn risk",
        tells="The probability of no purchase within the horizon; with `churn.by: cancel`, of a "
        "cancellation.",
        of="Customers who bought within `activity_days` (with contracts: and have not cancelled "
        "since). Of all others it is empty.",
        columns="`p_churn`, `churn_band`, `churn_eligible`, `churn_horizon_days`",
        how="LightGBM with several seeds and a logistic regression, averaged in logits. Where the "
        "history is short, a regression on recency, frequency and value has a share; where "
        "customers buy as BG/NBD assumes, that model has one. Served without a calibration map "
        "unless one has earned its place in a back-test.",
        baseline="a logistic regression on recency, frequency and value of one snapshot (RFM)",
        task="churn",
        use="To rank whom to save, and to multiply by money: the risk is calibrated. It does not "
        "say whom a message would keep; that is [uplift](uplift.md).",
        limits=(
            "A base rate that drifts (a season, a competitor) cannot be known from labels of the "
            "past: the order of customers stays good, their mean may be off.",
            "Against RFM the gain in ranking is real and small: regular buyers are easy to tell.",
        ),
    ),
    CardText(
        key="clv",
        title="customer lifetime value",
        tells="Net spend within the horizon, with an interval that should hold 80 % of the "
        "customers.",
        of="Everyone. Of those who never bought it is the chance of a first purchase times what "
        "new buyers spend.",
        columns="`clv`, `clv_low`, `clv_high`, `value_tier`, `expected_orders`, "
        "`average_order_value`, `clv_margin`",
        how="The shape (who spends more than whom) is a blend of six models: buy-till-you-die "
        "(BTYD), the same spend again, a Tweedie regression, trees, trees on top of BTYD, and "
        "chance times amount. Their weights come from two earlier origins and stay near equal. "
        "BTYD, the same spend again or the mean is served alone where the blend is not clearly "
        "better. The level (the total) is BTYD's, corrected only where the history is long "
        "enough; a total beyond three times that of any past horizon is refused. The interval "
        "holds the 10 % and 90 % quantiles, calibrated by predicted value on earlier origins.",
        baseline="BG/NBD with gamma-gamma (BTYD), the standard for this task",
        task="clv",
        use="To rank and to group by value, and for budgets where the total has held in the "
        "back-test. Read MAE beside the bias: where most spend nothing, expecting nothing of "
        "everybody has a small MAE.",
        limits=(
            "Where the history is shorter than a year no season is known: Christmas comes as a "
            "surprise.",
            "Intervals hold their share in the mean of dates; at one date they may be off.",
        ),
    ),
    CardText(
        key="lead",
        title="lead score",
        tells="The chance of a first purchase within `clv.horizon_days`, and the share of leads "
        "with a smaller one (0 to 100).",
        of="Those who never bought. Of buyers it is empty.",
        columns="`p_first_purchase`, `lead_score`, `lead_band`",
        how="LightGBM and a logistic regression, averaged in logits; a part of the CLV model. It "
        "is fitted where at least 30 leads bought within the horizon, and as many did not.",
        baseline="the points table of `lead.points`, as a sales team would count by hand",
        task="lead",
        use="To call the likeliest first: `stagecast leads`, and the playbook `hot_lead_call`.",
        limits=(
            "Somebody who was never seen before the first purchase is no lead; data of orders "
            "alone have none.",
            "The score ranks leads of one date. What one lead is worth is `clv`.",
        ),
    ),
    CardText(
        key="uplift",
        title="uplift",
        tells="What a message changes: the difference it makes to a person's chance to respond.",
        of="Everyone, for every campaign that was sent at random once (a hold-out, or an "
        "experiment under `experiments`).",
        columns="`uplift` (JSON by campaign)",
        how="X-learner: LightGBM says what to expect with and without the message, and a lasso on "
        "ranks, chosen by cross-validation, learns the differences; LightGBM learns what the "
        "lasso leaves.",
        baseline="churn risk, and chance",
        task="uplift",
        use="To write to those whom it moves (`persuadables_promotion`), and to leave alone those "
        "who buy anyway.",
        limits=(
            "It needs a randomised send, and thousands of people: effects are small beside the "
            "noise of single answers.",
            "What was true of one message at one time is not sure to be true of the next.",
        ),
    ),
)
