"""Words shared by every room: roles, key columns, and the shape of the scored row."""

from __future__ import annotations

from dataclasses import dataclass

CUSTOMER = "customer_id"
SNAPSHOT = "snapshot_at"
KEY = [CUSTOMER, SNAPSHOT]

# What an event type can mean to the business. Rules, features and reports speak of roles.
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
# Outbound or administrative: never a sign of life of the customer.
LIFELESS_ROLES = ("sent", "cancel", "refund")

# Standard columns of an event; everything else mapped in a source is a declared attribute.
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

NO_CHANGE = "no_change"


@dataclass(frozen=True)
class ScoredColumn:
    """A column of the customer score table.

    Attributes
    ----------
    name, dtype
        Column name and its type: string, double, int64, date, bool or timestamp.
    meaning
        One sentence a marketer understands, with the unit.
    null
        What an empty cell means; empty where the column is never null.
    """

    name: str
    dtype: str
    meaning: str
    null: str = ""


SCORED_ROW: tuple[ScoredColumn, ...] = (
    ScoredColumn("customer_id", "string", "The customer, as the source names them."),
    ScoredColumn("snapshot_at", "date", "The score uses what was known before this day began."),
    ScoredColumn("data_through", "date", "The last day of events that the score has seen."),
    ScoredColumn("stage", "string", "Life-cycle stage by the taxonomy's rules: a fact."),
    ScoredColumn("sub_stage", "string", "Finer stage by rule.", "the stage has no sub-stages"),
    ScoredColumn("stage_since", "date", "First day of the present stay in the stage."),
    ScoredColumn("previous_stage", "string", "Stage before that.", "never in another stage"),
    ScoredColumn(
        "stage_change_cause",
        "string",
        "What moved the customer: behaviour, clock, first_load, definition or identity.",
    ),
    ScoredColumn("stage_predicted", "string", "The stage the customer is likely in by now."),
    ScoredColumn("stage_confidence", "double", "Probability of stage_predicted, 0 to 1."),
    ScoredColumn("stage_probabilities", "string", "JSON: probability of every stage; sums to 1."),
    ScoredColumn(
        "next_stage",
        "string",
        "Likeliest next stage should the customer move.",
        "the model knows no other stage to move to",
    ),
    ScoredColumn(
        "next_stage_probabilities",
        "string",
        "JSON: probability of moving to each stage within the horizon, and no_change; sums to 1.",
    ),
    ScoredColumn("p_move", "double", "Probability of any stage change within the horizon."),
    ScoredColumn(
        "expected_transition_at",
        "date",
        "Day by which a move is as likely to have happened as not, given that it happens.",
        "p_move is below one half",
    ),
    ScoredColumn(
        "lapses_at_if_silent",
        "date",
        "The clock: the day the rules call the customer lapsed if nothing more happens.",
        "already lapsed, or never bought",
    ),
    ScoredColumn("churn_eligible", "bool", "Bought recently enough for a churn risk."),
    ScoredColumn(
        "p_churn",
        "double",
        "Probability of no purchase (where churn is by cancel events: of cancelling) within "
        "churn_horizon_days.",
        "not eligible",
    ),
    ScoredColumn("churn_horizon_days", "int64", "Horizon of p_churn in days."),
    ScoredColumn(
        "churn_band",
        "string",
        "high, medium or low, against customers of the same stage and order count.",
        "not eligible",
    ),
    ScoredColumn(
        "p_first_purchase",
        "double",
        "Probability of a first purchase within clv_horizon_days.",
        "has bought before, or no such history to learn from",
    ),
    ScoredColumn(
        "lead_score",
        "double",
        "Share of the training date's leads with a smaller p_first_purchase, 0-100.",
        "p_first_purchase is",
    ),
    ScoredColumn(
        "lead_band",
        "string",
        "By lead_score: A from 90, B from 70, C from 40, else D; cut-offs stay with the model.",
        "p_first_purchase is",
    ),
    ScoredColumn(
        "p_reactivate",
        "double",
        "Probability that a lapsed customer orders within clv_horizon_days.",
        "not lapsed",
    ),
    ScoredColumn("p_any_order", "double", "Probability of an order within clv_horizon_days."),
    ScoredColumn("expected_orders", "double", "Expected order days within clv_horizon_days."),
    ScoredColumn(
        "expected_next_order_at",
        "date",
        "Day by which the next order is as likely to have come as not.",
        "less than one half likely within three horizons",
    ),
    ScoredColumn(
        "average_order_value", "double", "Mean spend of an order day so far.", "never bought"
    ),
    ScoredColumn(
        "average_days_between_orders", "double", "Mean gap of order days.", "under two order days"
    ),
    ScoredColumn("historic_clv", "double", "Net spend so far."),
    ScoredColumn("clv", "double", "Expected net spend within clv_horizon_days."),
    ScoredColumn("clv_low", "double", "Lower end of the 80 % interval of that spend."),
    ScoredColumn("clv_high", "double", "Upper end of the 80 % interval of that spend."),
    ScoredColumn("clv_horizon_days", "int64", "Horizon of clv in days."),
    ScoredColumn("value_tier", "string", "top, mid or low by clv; cut-offs stay with the model."),
    ScoredColumn(
        "preferred_channel",
        "string",
        "Channel with the most answers to each message; without answers, of most touches, or of "
        "most purchases.",
        "no channel known",
    ),
    ScoredColumn("flags", "string", "JSON list of flags that hold beside the stage."),
    ScoredColumn(
        "uplift",
        "string",
        "JSON by campaign: chance of an order that its message adds.",
        "no randomised history says",
    ),
    ScoredColumn("clv_margin", "double", "The margin within clv.", "no margin is known"),
    ScoredColumn("reason_code_1", "string", "First reason, as a code.", "in no audience, or none"),
    ScoredColumn("reason_code_2", "string", "Second reason, as a code.", "in no audience, or none"),
    ScoredColumn("reason_code_3", "string", "Third reason, as a code.", "in no audience, or none"),
    ScoredColumn("reason_1", "string", "First reason, as a sentence.", "in no audience, or none"),
    ScoredColumn("reason_2", "string", "Second reason, as a sentence.", "in no audience, or none"),
    ScoredColumn("reason_3", "string", "Third reason, as a sentence.", "in no audience, or none"),
    ScoredColumn(
        "score_quality",
        "string",
        "ok; thin: a purchase or two to go by; cold: under 30 days of history.",
    ),
    ScoredColumn("scorer_version", "string", "Version of the registered scorer."),
    ScoredColumn("run_id", "string", "The run that wrote the row."),
    ScoredColumn("scored_at", "timestamp", "When that run scored, UTC."),
)
