"""Vocabulary shared by all packages: roles, key columns, and the scored row."""

from __future__ import annotations

from dataclasses import dataclass

CUSTOMER = "customer_id"
SNAPSHOT = "snapshot_at"
KEY = [CUSTOMER, SNAPSHOT]

# Business meanings of event types. Rules, features and reports use roles.
ROLES = (
    "touch",
    "intent",
    "lead",
    "purchase",
    "refund",
    "redemption",
    "advocacy",
    "support",
    "complaint",
    "survey_nps",
    "survey_csat",
    "sent",
    "cancel",
)
# Roles whose events carry an amount of money.
MONEY_ROLES = ("purchase", "refund")
# Outbound or administrative events; they do not count as customer activity.
LIFELESS_ROLES = ("sent", "cancel", "refund")

# Event type of rows that are no events; it has no role and is never counted.
LEFT_OUT = "left_out"
# Event type of days on which a link attributed earlier events to the customer.
IDENTITY_LINK = "identity_link"

# Standard columns of an event; any other mapped column is an attribute.
EVENT_COLUMNS = (
    "anonymous_id",
    "customer_id",
    "occurred_at",
    "known_at",
    "value",
    "order_id",
    "session_id",
    "channel",
    "is_machine",
)

# Words for the events of a role: several, and one.
ROLE_WORDS = {
    "touch": ("visits, opens or clicks", "visit, open or click"),
    "intent": ("carts or checkouts", "cart or checkout"),
    "lead": ("sign-ups or forms", "sign-up or form"),
    "purchase": ("purchases", "purchase"),
    "refund": ("refunds", "refund"),
    "redemption": ("redeemed offers", "redeemed offer"),
    "advocacy": ("reviews or referrals", "review or referral"),
    "support": ("support contacts", "support contact"),
    "complaint": ("complaints", "complaint"),
    "survey_nps": ("NPS answers", "NPS answer"),
    "survey_csat": ("satisfaction answers", "satisfaction answer"),
    "sent": ("messages sent", "message sent"),
    "cancel": ("cancellations", "cancellation"),
}
# Words for score columns whose names do not read as words.
_COLUMN_LABELS = {
    "stage_since": "start of the stage",
    "stage_change_cause": "cause of the stage change",
    "p_move": "chance of a stage change",
    "expected_transition_at": "expected date of a stage change",
    "lapses_at_if_silent": "lapse date without activity",
    "p_churn": "churn risk",
    "churn_band": "churn risk band",
    "p_first_purchase": "chance of a first purchase",
    "p_reactivate": "chance of coming back",
    "p_any_order": "chance of an order",
    "expected_orders": "expected days with an order",
    "expected_next_order_at": "expected date of the next order",
    "historic_clv": "spent so far",
    "clv": "expected spend",
    "clv_low": "expected spend, low end",
    "clv_high": "expected spend, high end",
    "score_quality": "amount of data",
    "campaign_uplift": "additional chance of an order by this campaign",
}


def column_label(column: str) -> str:
    """Return a score column's name in words."""
    words = _COLUMN_LABELS.get(column, column.replace("_", " "))
    for start, verb in (("interest ", "viewed"), ("preferred ", "bought")):
        if words.startswith(start) and words.endswith(" share"):
            return f"share of the most {verb} {words.removeprefix(start).removesuffix(' share')}"
    return words


NO_CHANGE = "no_change"


@dataclass(frozen=True)
class ScoredColumn:
    """A column of the customer score table.

    Attributes
    ----------
    name, dtype
        Column name and its type: string, double, int64, date, bool or timestamp.
    meaning
        Explanation in plain words, with the unit.
    null
        When the cell is null; empty if the column is never null.
    """

    name: str
    dtype: str
    meaning: str
    null: str = ""


SCORED_ROW: tuple[ScoredColumn, ...] = (
    ScoredColumn("customer_id", "string", "Customer id from the source."),
    ScoredColumn(
        "snapshot_at", "date", "Date of the scores; they use what was known before this day began."
    ),
    ScoredColumn("data_through", "date", "Last day of the events used by the score."),
    ScoredColumn("stage", "string", "Life-cycle stage by the rules of the taxonomy."),
    ScoredColumn("sub_stage", "string", "Sub-stage by the rules.", "the stage has no sub-stages"),
    ScoredColumn("stage_since", "date", "First day of the current stay in the stage."),
    ScoredColumn(
        "previous_stage",
        "string",
        "Stage before the current one.",
        "the customer was never in another stage",
    ),
    ScoredColumn(
        "stage_change_cause",
        "string",
        "Cause of the last stage change: behaviour (an event), clock (time without activity), "
        "first_load (no earlier run), definition (changed rules) or identity (merged ids).",
    ),
    ScoredColumn("stage_predicted", "string", "Most likely current stage, by the model."),
    ScoredColumn("stage_confidence", "double", "Probability of `stage_predicted`, 0 to 1."),
    ScoredColumn(
        "stage_probabilities", "string", "JSON: probability of every stage, 0 to 1; sums to 1."
    ),
    ScoredColumn(
        "next_stage",
        "string",
        "Most likely next stage if the customer changes stage.",
        "the model has no other stage to predict",
    ),
    ScoredColumn(
        "next_stage_probabilities",
        "string",
        "JSON: probability of moving to each stage within the horizon, and of `no_change`; "
        "sums to 1.",
    ),
    ScoredColumn("p_move", "double", "Probability of a stage change within the horizon, 0 to 1."),
    ScoredColumn(
        "expected_transition_at",
        "date",
        "Day by which half of such customers have changed stage, among those who change.",
        "`p_move` is below 0.5",
    ),
    ScoredColumn(
        "lapses_at_if_silent",
        "date",
        "Day on which the customer lapses by the rules if no further event happens.",
        "the customer has lapsed already or never bought",
    ),
    ScoredColumn(
        "churn_eligible",
        "bool",
        "Whether the customer bought recently enough to have a churn risk.",
    ),
    ScoredColumn(
        "p_churn",
        "double",
        "Probability of no purchase within `churn_horizon_days`, 0 to 1; with churn by cancel "
        "events, of a cancellation.",
        "`churn_eligible` is false",
    ),
    ScoredColumn("churn_horizon_days", "int64", "Horizon of `p_churn`, days."),
    ScoredColumn(
        "churn_band",
        "string",
        "high, medium or low churn risk, compared with customers of the same stage and order "
        "count.",
        "`churn_eligible` is false",
    ),
    ScoredColumn(
        "p_first_purchase",
        "double",
        "Probability of a first purchase within `clv_horizon_days`, 0 to 1.",
        "the customer has bought before, or the training data had no leads",
    ),
    ScoredColumn(
        "lead_score",
        "double",
        "Percentage of leads at the training date with a lower `p_first_purchase`, 0 to 100.",
        "`p_first_purchase` is null",
    ),
    ScoredColumn(
        "lead_band",
        "string",
        "Band by `lead_score`: A from 90, B from 70, C from 40, else D.",
        "`p_first_purchase` is null",
    ),
    ScoredColumn(
        "p_reactivate",
        "double",
        "Probability that a lapsed customer orders within `clv_horizon_days`, 0 to 1.",
        "the customer has not lapsed",
    ),
    ScoredColumn(
        "p_any_order", "double", "Probability of an order within `clv_horizon_days`, 0 to 1."
    ),
    ScoredColumn(
        "expected_orders", "double", "Expected days with an order within `clv_horizon_days`."
    ),
    ScoredColumn(
        "expected_next_order_at",
        "date",
        "Day by which the next order has come with a probability of one half.",
        "an order within three times `clv_horizon_days` has a probability below 0.5",
    ),
    ScoredColumn(
        "average_order_value",
        "double",
        "Mean spend per day with an order so far, currency units.",
        "the customer never bought",
    ),
    ScoredColumn(
        "average_days_between_orders",
        "double",
        "Mean gap between days with an order, days.",
        "the customer ordered on fewer than two days",
    ),
    ScoredColumn("historic_clv", "double", "Net spend so far, currency units."),
    ScoredColumn("clv", "double", "Expected net spend within `clv_horizon_days`, currency units."),
    ScoredColumn(
        "clv_low",
        "double",
        "10 % quantile of that spend: one of ten customers spends less, where that is possible.",
    ),
    ScoredColumn("clv_high", "double", "90 % quantile of that spend, at least `clv`."),
    ScoredColumn("clv_horizon_days", "int64", "Horizon of `clv`, days."),
    ScoredColumn(
        "value_tier",
        "string",
        "top, mid or low by `clv`; cut-offs change only with the model version.",
    ),
    ScoredColumn(
        "preferred_channel",
        "string",
        "Channel with the most responses per message; without responses, the channel with the "
        "most touches, or with the most purchases.",
        "no channel is known",
    ),
    ScoredColumn("flags", "string", "JSON list of the flags that apply in addition to the stage."),
    ScoredColumn(
        "uplift",
        "string",
        "JSON by campaign: how much its message adds to the probability of an order; by "
        "`offer@campaign` where there are several offers, each with its standard error under "
        "`offer@campaign error`.",
        "no randomised campaign has measured it",
    ),
    ScoredColumn(
        "clv_margin", "double", "Margin within `clv`, currency units.", "no margin is known"
    ),
    ScoredColumn(
        "reason_code_1",
        "string",
        "First reason, as a code.",
        "the customer is in no audience, or has fewer reasons",
    ),
    ScoredColumn(
        "reason_code_2",
        "string",
        "Second reason, as a code.",
        "the customer is in no audience, or has fewer reasons",
    ),
    ScoredColumn(
        "reason_code_3",
        "string",
        "Third reason, as a code.",
        "the customer is in no audience, or has fewer reasons",
    ),
    ScoredColumn(
        "reason_1",
        "string",
        "First reason, as a sentence.",
        "the customer is in no audience, or has fewer reasons",
    ),
    ScoredColumn(
        "reason_2",
        "string",
        "Second reason, as a sentence.",
        "the customer is in no audience, or has fewer reasons",
    ),
    ScoredColumn(
        "reason_3",
        "string",
        "Third reason, as a sentence.",
        "the customer is in no audience, or has fewer reasons",
    ),
    ScoredColumn(
        "score_quality",
        "string",
        "ok, thin (at most two days with a purchase) or cold (less than 30 days of history).",
    ),
    ScoredColumn("scorer_version", "string", "Version of the registered scorer."),
    ScoredColumn("run_id", "string", "Id of the run that wrote the row."),
    ScoredColumn("scored_at", "timestamp", "Time of scoring, UTC."),
)
