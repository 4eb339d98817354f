from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from campaigns.playbook_loading import load_playbook, load_playbooks, refuse_unknown_names
from campaigns.rules import KNOWN_COLUMNS
from campaigns.stage_set import StageSet
from features.config.config import parse_yaml
from features.config.yaml_with_lines import Spot
from features.errors import UserError
from features.lifecycle.taxonomy_parser import parse
from tests.campaigns.campaign_examples import TAXONOMY, playbook

SHIPPED = sorted((Path(__file__).parents[2] / "configs" / "campaigns").glob("*.yaml"))


def written(path: Path, **changes: Any) -> Path:
    content = yaml.safe_load(SHIPPED[0].read_text(encoding="utf-8"))
    file = path / "playbook.yaml"
    file.write_text(yaml.safe_dump({**content, **changes}), encoding="utf-8")
    return file


def test_the_shipped_playbooks_load_in_order_of_priority() -> None:
    names = [each.campaign for each in load_playbooks(SHIPPED)]
    assert names.index("save_valuable_customers") < names.index("win_back")


def taxonomy_of(name: str) -> StageSet:
    file = SHIPPED[0].parents[1] / "stages" / f"{name}.yaml"
    return StageSet.of(parse(Spot(parse_yaml(file), file.name), {}))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "taxonomy",
    [
        TAXONOMY,
        *(taxonomy_of(name) for name in ("omnisend", "activecampaign", "rfm")),
        StageSet("my_own", ("gone", "whale", "minnow"), silent={"gone": "purchase"}),
    ],
    ids=lambda taxonomy: taxonomy.name,
)
def test_the_shipped_playbooks_address_a_stage_of_every_taxonomy(
    path: Path, taxonomy: StageSet
) -> None:
    stages = load_playbook(path).addressed(taxonomy)
    assert stages
    if path.stem == "win_back":
        assert set(stages) <= {"lapsed", "gone", *taxonomy.kind("silent_buyers")}
    elif path.stem != "service_recovery":
        assert not {"lapsed", "gone", "dormant"} & set(stages)


def test_all_sixteen_playbooks_ship_in_the_order_of_their_priorities() -> None:
    books = load_playbooks(SHIPPED)
    assert [book.campaign for book in books] == [
        "service_recovery",
        "loyal_feedback_survey",
        "save_valuable_customers",
        "hot_lead_call",
        "brand_interest_reminder",
        "subscriber_welcome",
        "new_buyer_onboarding",
        "replenish",
        "win_back",
        "next_purchase_code",
        "look_alike_seed",
        "vip_referral",
        "sign_up_prompt",
        "persuadables_promotion",
        "site_wide_promotion",
        "education_series",
    ]
    assert all(book.control_share >= 0.1 for book in books if book.kind == "promotional")


def test_stages_are_read_from_a_full_taxonomy() -> None:
    file = SHIPPED[0].parents[1] / "stages" / "recency_frequency.yaml"
    stages = StageSet.of(parse(Spot(parse_yaml(file), file.name), {"L": 28}))
    assert stages.name == "recency_frequency"
    assert stages.kind("silent_buyers") == ("lapsed",)
    assert set(stages.kind("active")) == set(stages.stages) - {"lapsed"}
    assert stages.parameters["L"] == 28


def test_a_taxonomy_without_the_stage_gives_an_empty_audience_and_no_error() -> None:
    assert playbook().addressed(StageSet("my_own", ("whale",))) == ()


def test_a_stage_named_for_a_taxonomy_that_lacks_it_is_an_error() -> None:
    wrong = playbook(stages={"recency_frequency": ["lapst"], "other": ["lapsed"]})
    with pytest.raises(UserError, match=r"lapst[\s\S]*loyalty"):
        wrong.addressed(TAXONOMY)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"chanel": "email"}, ["chanel", "unknown key", "channel"]),
        ({"offer": {"text": "x", "percent": 5}}, ["offer.percent", "discount"]),
        ({"control_share": 1.5}, ["control_share", "1.5", "less than 1"]),
        ({"audience": {"column": "churn_brand", "in": ["x"]}}, ["churn_brand", *KNOWN_COLUMNS[:3]]),
        ({"rank_by": ["p_chrun"]}, ["rank_by", "p_chrun", "p_churn"]),
        ({"audience": {"all": [{"column": "p_churn"}]}}, ["audience.all.0", "no comparison"]),
        ({"exit_on": {"column": "p_churn", "!=": 3}}, ["exit_on", "!=", "within_days"]),
        ({"stages": {"omnisend": ["lapsed"]}}, ["other"]),
        ({"kind": "service"}, ["control_share must be 0"]),
        ({"trigger": [{"when": "stage_entered"}]}, ["trigger", "stage"]),
        ({"campaign": "../up"}, ["campaign", "../up"]),
        ({"capacity": 0}, ["capacity", "0"]),
        ({"expires_days": "soon"}, ["expires_days", "soon"]),
        ({"chanel": "email"}, ["did you mean channel?"]),
        ({"offer": {"text": "x", "discunt": 0.1}}, ["offer.discunt", "did you mean discount?"]),
        ({"audience": {"column": "churn_brand", "in": ["x"]}}, ["did you mean churn_band?"]),
        ({"audience": {"column": "p_churn", "withindays": 3}}, ["did you mean within_days?"]),
        ({"audience": {"al": [{"column": "p_churn", ">": 0}]}}, ["did you mean all?"]),
        (
            {"audience": {"any": [{"column": "p_churn", "=": 1}, {"column": 3, "is": 1}]}},
            ["audience.any.0", "audience.any.1.column"],
        ),
        ({"trigger": [{"when": "event", "role": "purchas"}]}, ["did you mean purchase?"]),
        ({"trigger": [{"when": "score_risen", "column": "stage"}]}, ["known column", "p_churn"]),
        ({"trigger": [{"when": "date", "column": "clv"}]}, ["known column", "stage_since"]),
        ({"trigger": [{"when": "schedule", "every": "day", "role": "touch"}]}, ["`role`"]),
        ({"success": {"metric": "clicks", "within_days": 9}}, ["success.metric", "'revenue'"]),
        ({"success": {"metric": "elsewhere", "within_days": 9}}, ["without a control arm"]),
        ({"control_share": 0}, ["without held-out customers", "elsewhere"]),
        (
            {"success": {"metric": "orders", "within_days": 9, "role": "lead"}},
            ["`success.role` belongs to the metric response"],
        ),
    ],
)
def test_a_wrong_playbook_names_file_key_found_and_allowed(
    tmp_path: Path, changes: dict[str, Any], parts: list[str]
) -> None:
    file = written(tmp_path, **changes)
    with pytest.raises(UserError) as caught:
        load_playbook(file)
    for part in [str(file), *parts]:
        assert part in str(caught.value)


def test_all_problems_of_a_file_come_at_once(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        chanel="email",
        rank_by=["p_chrun"],
        expires_days=0,
        trigger=[{"when": "event", "role": "purchas"}],
        audience={"all": [{"column": "p_churn"}, {"kolumn": "clv"}]},
    )
    with pytest.raises(UserError) as caught:
        load_playbook(file)
    places = [problem.where.removeprefix(f"{file}: ") for problem in caught.value.problems]
    assert sorted(places) == [
        "audience.all.0", "audience.all.1", "chanel", "expires_days", "rank_by", "trigger.0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channel": ["email", "emial"]}, "unknown channel 'emial'[\\s\\S]*did you mean email"),
        ({"channel": "fax"}, r"channels: \[fax\]"),
        ({"trigger": [{"when": "stage_entered", "stage": "lapst"}]}, "did you mean lapsed"),
        ({"stages": {"recency_frequency": ["loyal"], "other": "all"}}, "did you mean loyalty"),
    ],
)
def test_names_that_nothing_knows_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        refuse_unknown_names([playbook(**changes)], (), TAXONOMY)
    declared = playbook(channel=["fax", "letter"])
    refuse_unknown_names([declared], ("fax",), TAXONOMY)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"column": "stage", ">=": 3}, "a column of type string"),
        ({"column": "stage_since", "<": 3}, "within_days"),
        ({"column": "clv", "within_days": 3}, "a column of type double"),
        ({"column": "churn_band", "in": ["high", "hgih"]}, "did you mean high"),
        ({"column": "value_tier", "is": "best"}, "one of top, mid, low"),
    ],
)
def test_rules_that_can_never_hold_are_refused(
    tmp_path: Path, rule: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        load_playbook(written(tmp_path, audience={"all": [rule]}))


def test_dates_that_the_config_does_not_declare_are_refused() -> None:
    book = playbook(trigger=[{"when": "anniversary", "date": "birthdy", "days_before": 7}])
    refuse_unknown_names([book], (), TAXONOMY)  # without a config nothing is known of them
    with pytest.raises(UserError, match=r"did you mean birthday"):
        refuse_unknown_names([book], (), TAXONOMY, ("birthday",))
    with pytest.raises(UserError, match=r"dates: \{birthdy: COLUMN\}"):
        refuse_unknown_names([book], (), TAXONOMY, ())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_playbooks_name_known_channels_and_stages(path: Path) -> None:
    for name in ("omnisend", "activecampaign", "rfm", "recency_frequency"):
        refuse_unknown_names([load_playbook(path)], (), taxonomy_of(name))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    file = written(tmp_path)
    content = yaml.safe_load(file.read_text())
    del content["success"]
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match="success: found nothing"):
        load_playbook(file)


def test_two_files_of_one_campaign_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one file per campaign"):
        load_playbooks([SHIPPED[0], written(tmp_path)])
