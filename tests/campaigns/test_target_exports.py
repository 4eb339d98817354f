"""Each export in the form that its target documents; nobody in it who must not be."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.audience_files import ExportRun
from campaigns.customer_context import CustomerContext
from campaigns.export_schema import TargetMap, load_target, load_targets
from campaigns.planning import CampaignPlan
from campaigns.target_exports import Delivery, write_exports
from features.errors import UserError
from features.sources import contact_normalisation
from tests.campaigns.campaign_examples import plan, playbook, scores
from tests.tries import tries

MAPS = sorted((Path(__file__).parents[2] / "configs" / "exports").glob("*.yaml"))
RUN = ExportRun(run_id="r1", scorer_version="7", model_versions={"churn": 3})
FRAME = scores(120).sort_values("customer_id", ignore_index=True)
IDS = list(FRAME["customer_id"])
CONTACTS = pd.DataFrame(
    {
        "email": [f" Person.{i}@Example.COM " for i in range(len(IDS))],
        "phone": [f"+1 (555) 000-{i:04d}" for i in range(len(IDS))],
        "first_name": [" Zoë ", "=HYPERLINK(1)", "O'Neil"] * 40,
        "last_name": ["Pérez-Smith"] * len(IDS),
        "country": ["us"] * len(IDS),
        "postal_code": ["94016-1234"] * len(IDS),
        "city": ["New York"] * len(IDS),
        "device_token": [f"t{i}" for i in range(len(IDS))],
        "mobile_ad_id": ["AECE52E7-03EE-455A-B3C4-E57283966239"] * len(IDS),
        "external_id": IDS,
    },
    index=pd.Index(IDS, dtype=object),
)


def shipped(name: str) -> TargetMap:
    return load_target(next(path for path in MAPS if path.stem == name))


SEED = playbook(
    campaign="seed",
    kind="list",
    control_share=0,
    value=None,
    channel="paid_social",
    stages={"other": ["retention"]},
    audience={"column": "clv", ">": 0},
    trigger=[{"when": "schedule", "every": "week"}],
)


def made_plan(**changes: Any) -> CampaignPlan:
    books = [playbook(channel="email"), SEED]
    return plan(FRAME, *books, **{"consent": "recorded", **changes})


def delivery(**changes: Any) -> Delivery:
    given: dict[str, Any] = {
        "scores": FRAME.set_index("customer_id"), "contacts": CONTACTS, "ads": frozenset(IDS),
    }  # fmt: skip
    return Delivery(**{**given, **changes})


def exported(folder: Path, name: str, made: CampaignPlan | None = None, **changes: Any) -> Path:
    target = shipped(name)
    write_exports(made or made_plan(), [target], folder, run=RUN, delivery=delivery(**changes))
    return folder / target.target


def table(path: Path) -> list[dict[str, str]]:
    raw = path.read_bytes()
    assert not raw.startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def treated(made: CampaignPlan, campaign: str) -> list[str]:
    rows = made.audience[made.audience["campaign_id"] == campaign]
    rows = rows[(rows["arm"] == "treatment") & (rows["change"] != "removed")]
    return list(rows.sort_values("rank")["customer_id"])


def test_every_shipped_map_loads_under_its_own_name() -> None:
    assert [target.target for target in load_targets(MAPS)] == [path.stem for path in MAPS]
    assert len(MAPS) == 10


@pytest.mark.parametrize("name", ["csv", "parquet", "jsonl", "table"])
def test_generic_forms_hold_the_treatment_arm_in_order_of_rank(tmp_path: Path, name: str) -> None:
    made = made_plan()
    folder = exported(tmp_path, name, made)
    if name == "csv":
        rows: list[dict[str, Any]] = list(table(folder / "back.csv"))
    elif name == "parquet":
        rows = pq.read_table(folder / "back.parquet").to_pylist()
    elif name == "jsonl":
        lines = (folder / "back.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
    else:
        with sqlite3.connect(folder / "audience.sqlite") as database:
            database.row_factory = sqlite3.Row
            found = database.execute(
                "select * from stagecast_audience where campaign_id = 'back' order by rowid"
            )
            rows = [dict(row) for row in found]
    assert [row["customer_id"] for row in rows] == treated(made, "back")
    first = rows[0]
    assert (first["change"], first["entered_at"]) == ("added", "2018-01-01")
    assert re.fullmatch(r"person\.\d+@example\.com", first["email"])
    assert re.fullmatch(r"\+1555000\d{4}", first["phone"])


# Custom properties named stagecast_*, identifiers under the names that each import documents.
IDENTIFIERS = {
    "klaviyo": ["Email", "Phone Number", "First Name", "Last Name", "External ID"],
    "hubspot": ["Email", "First Name", "Last Name", "Phone Number"],
    "activecampaign": ["Email", "First Name", "Last Name", "Phone"],
    "omnisend": ["Email", "Phone number", "First name", "Last name"],
}
# Fields of the tools themselves, which an import would overwrite.
THEIRS = re.compile(r"lifecycle|predicted|consent|subscri|opt|hs_", re.IGNORECASE)


@pytest.mark.parametrize("name", sorted(IDENTIFIERS))
def test_crm_imports_have_identifiers_and_custom_properties_only(tmp_path: Path, name: str) -> None:
    rows = table(exported(tmp_path, name) / "back.csv")
    headers = list(rows[0])
    assert headers[: len(IDENTIFIERS[name])] == IDENTIFIERS[name]
    rest = headers[len(IDENTIFIERS[name]) :]
    assert all(re.fullmatch("stagecast_[a-z_]{1,90}", header) for header in rest)
    assert not any(THEIRS.search(header) for header in headers)
    assert len(headers) <= 200
    for row in rows:
        assert contact_normalisation._EMAIL.match(row["Email"])
        phone = next(row[key] for key in headers if key.startswith("Phone"))
        assert re.fullmatch(r"\+[1-9]\d{6,14}", phone)
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", row["stagecast_entered_at"])
        float(row["stagecast_clv"])
    assert {"=HYPERLINK(1)"}.isdisjoint(row[headers[2]] for row in rows)


def test_google_customer_match_is_hashed_as_documented(tmp_path: Path) -> None:
    rows = table(exported(tmp_path, "google_customer_match") / "seed.csv")
    assert list(rows[0]) == ["Email", "Phone", "First Name", "Last Name", "Country", "Zip"]
    number = IDS.index(treated(made_plan(), "seed")[0])
    first = rows[0]
    assert first["Email"] == sha(f"person.{number}@example.com")
    assert first["Phone"] == sha(f"+1555000{number:04d}")
    name = [" Zoë ", "=HYPERLINK(1)", "O'Neil"][number % 3].strip().lower()
    assert first["First Name"] == sha(name)
    assert first["Last Name"] == sha("pérez-smith")
    assert (first["Country"], first["Zip"]) == ("US", "94016-1234")


def test_meta_custom_audiences_are_hashed_as_documented(tmp_path: Path) -> None:
    rows = table(exported(tmp_path, "meta_custom_audiences") / "seed.csv")
    headers = ["email", "phone", "madid", "fn", "ln", "zip", "ct", "country", "extern_id"]
    assert list(rows[0]) == headers
    customer = treated(made_plan(), "seed")[0]
    first, number = rows[0], IDS.index(customer)
    assert first["email"] == sha(f"person.{number}@example.com")
    assert first["phone"] == sha(f"1555000{number:04d}")
    assert first["ln"] == sha("pérezsmith")
    assert (first["zip"], first["ct"], first["country"]) == (
        sha("94016"), sha("newyork"), sha("us"),
    )  # fmt: skip
    assert (first["madid"], first["extern_id"]) == (
        "aece52e7-03ee-455a-b3c4-e57283966239", customer,
    )  # fmt: skip


def test_advertising_files_hold_only_who_agreed_and_messages_stay_out(tmp_path: Path) -> None:
    agreed = frozenset(IDS[1::4])
    folder = exported(tmp_path, "meta_custom_audiences", ads=agreed)
    assert sorted(path.name for path in folder.glob("*.csv")) == ["back.csv", "seed.csv"]
    assert table(folder / "back.csv") == []
    rows = table(folder / "seed.csv")
    assert rows
    assert {row["extern_id"] for row in rows} == agreed & set(treated(made_plan(), "seed"))
    said = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert said["ads_consent"] == "recorded"
    counts = {each["campaign_id"]: each["without_ads_consent"] for each in said["files"]}
    assert counts["seed"] == len(treated(made_plan(), "seed")) - len(rows)
    folder = exported(tmp_path / "unknown", "meta_custom_audiences", ads=None)
    assert (folder / "seed_consent_not_recorded.csv").is_file()


def test_plan_only_exports_have_no_contact_key(tmp_path: Path) -> None:
    for target in load_targets(MAPS):
        made = made_plan(consent="not_recorded")
        write_exports(made, [target], tmp_path, run=RUN, delivery=delivery())
    contents = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"xample.com" not in contents
    assert b"15550" not in contents
    for number in range(len(IDS)):
        assert sha(f"person.{number}@example.com").encode() not in contents
    said = json.loads((tmp_path / "csv" / "manifest.json").read_text(encoding="utf-8"))
    assert (said["plan_only"], said["contact_keys"]) == (True, [])


def test_the_manifest_tells_counts_hashes_versions_and_consent(tmp_path: Path) -> None:
    folder = exported(tmp_path, "klaviyo")
    said = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert said["model_versions"] == {"churn": 3}
    assert (said["consent_basis"], said["scorer_version"]) == ("recorded", "7")
    for each in said["files"]:
        content = (folder / each["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == each["sha256"]
        assert each["changes"]["added"] == each["rows"] == len(table(folder / each["file"]))


def test_who_has_no_key_for_the_target_is_left_out_and_counted(tmp_path: Path) -> None:
    broken = CONTACTS.assign(email="nobody", phone=["12", None] * 60)
    folder = exported(tmp_path, "klaviyo", contacts=broken)
    said = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert table(folder / "back.csv") == []
    counts = {each["campaign_id"]: each["without_key"] for each in said["files"]}
    assert counts["back"] == len(treated(made_plan(), "back"))


def test_held_campaigns_have_no_file(tmp_path: Path) -> None:
    made = made_plan(context=CustomerContext(held={"back": "first run"}))
    folder = exported(tmp_path, "csv", made)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "seed.csv"]
    said = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert said["held"] == {"back": "first run"}


def test_deltas_say_what_changed_and_removals_stand_apart(tmp_path: Path) -> None:
    first = made_plan()
    now = FRAME.assign(p_reactivate=FRAME["p_reactivate"].mask(FRAME.index % 4 == 0, 0.0))
    later = pd.Timestamp("2018-01-05").date()
    second = plan(
        now, playbook(), at=later, previous=first.audience, consent="recorded"
    )  # fmt: skip
    full = exported(tmp_path / "full", "csv", second)
    delta = exported(tmp_path / "delta", "csv", second, mode="delta")
    kept = set(treated(second, "back"))
    assert {row["customer_id"] for row in table(full / "back.csv")} == kept
    assert {row["change"] for row in table(full / "back.csv")} == {"kept"}
    assert table(delta / "back.csv") == []
    gone = table(delta / "back_remove.csv")
    before = set(treated(first, "back"))
    assert {row["customer_id"] for row in gone} == before - kept
    # After a hold the tool knows nobody yet.
    anew = exported(tmp_path / "anew", "csv", second, mode="delta", relisted={"back"})
    assert {row["change"] for row in table(anew / "back.csv")} == {"added"}
    assert not (anew / "back_remove.csv").exists()


@settings(max_examples=tries(10), deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 60), mode=st.sampled_from(["full", "delta"]))
def test_no_excluded_or_control_customer_is_in_any_export(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, mode: str
) -> None:
    folder = tmp_path_factory.mktemp("exports")
    frame = scores(n, seed=seed)
    ids = pd.Index(frame["customer_id"], dtype=object)
    consent = pd.DataFrame(
        {
            "email": [hash((seed, c)) % 3 > 0 for c in ids],
            "ads": [hash((c, seed)) % 2 > 0 for c in ids],
        },
        index=ids,
    )
    listed = pd.DataFrame({"customer_id": ids[:5], "channel": None, "reason": "fraud"})
    # An e-mail campaign with a control arm, and the list of an advertising tool.
    books = [playbook(capacity=15), SEED]
    made = plan(
        frame, *books, consent="recorded",
        context=CustomerContext(consent=consent, suppressed=listed),
    )  # fmt: skip
    rows = made.audience[made.audience["arm"] == "treatment"]
    written = set(rows.loc[rows["campaign_id"] == "back", "customer_id"])
    advertised = set(rows.loc[rows["campaign_id"] == "seed", "customer_id"])
    assert not (written | advertised) & set(ids[:5])
    assert not written & set(consent.index[~consent["email"]])
    assert not advertised & set(consent.index[~consent["ads"]])
    emails = {customer: f"person.{number}@example.com" for number, customer in enumerate(ids)}
    contacts = pd.DataFrame({"email": pd.Series(emails), "external_id": ids}, index=ids)
    ads = frozenset(consent.index[consent["ads"]])
    deliver = Delivery(frame.set_index("customer_id"), contacts, ads=ads, mode=mode)
    for target in load_targets(MAPS):
        write_exports(made, [target], folder, run=RUN, delivery=deliver)
        allowed = (written | advertised) & ads if target.ads else written | advertised
        files = [path for path in (folder / target.target).rglob("*") if path.is_file()]
        contents = b"".join(path.read_bytes() for path in files)
        for customer in set(ids) - allowed:
            for trace in (customer, f"{emails[customer]},", sha(emails[customer])):
                assert trace.encode() not in contents, (target.target, customer)
    found = {row["customer_id"] for row in table(folder / "csv" / "back.csv")}
    assert found == written


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"target": "hubspot", "columns": [{"name": "Lifecycle Stage", "from": "stage"}]},
         ["own", "Lifecycle Stage"]),
        ({"target": "klaviyo", "columns": [{"name": "Predicted CLV", "from": "clv"}]}, ["own"]),
        ({"columns": [{"name": "a", "from": "chrun"}]}, ["chrun", "contact key"]),
        ({"columns": [{"name": "a"}]}, ["from", "constant"]),
        ({"columns": [{"name": "a", "from": "email", "as": "upper"}]}, ["upper", "email"]),
        ({"columns": [{"name": "a", "from": "email"}, {"name": "a", "from": "phone"}]}, ["twice"]),
        ({"needs": ["Mail"]}, ["Mail"]),
        ({"fromat": "csv"}, ["fromat", "unknown"]),
    ],
)  # fmt: skip
def test_a_wrong_map_says_what_to_fix(
    tmp_path: Path, changes: dict[str, Any], parts: list[str]
) -> None:
    given: dict[str, Any] = {
        "target": "tool", "title": "Tool", "columns": [{"name": "Email", "from": "email"}],
    }  # fmt: skip
    file = tmp_path / "map.yaml"
    file.write_text(json.dumps({**given, **changes}), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_target(file)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("email", " A.B@C.De ", "a.b@c.de"),
        ("email", "a b@c.de", ""),
        ("phone", "0049 30-12 34 567", "+49301234567"),
        ("phone", "030 1234567", ""),
        ("phone_digits", "+44 844 412 4653", "448444124653"),
        ("country", "USA", ""),
        ("country_upper", "de", "DE"),
        ("postal_code", "WC2H 8LG", "wc2h8lg"),
        ("letters", " O'Neil-Smith ", "oneilsmith"),
        ("name", "  Anna  Maria ", "anna maria"),
    ],
)
def test_contact_keys_take_the_documented_forms(form: str, text: str, expected: str) -> None:
    assert contact_normalisation.FORMS[form](text) == expected
