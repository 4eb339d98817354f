"""The pages as a person uses them: sign-in, roles, tables, cards, files, and what they start."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from fastapi.testclient import TestClient

from campaigns.playbook_loading import load_playbook
from features.storage.scores_store import read_current
from flows.report.plain_words import exclusion_text
from flows.services.reasons import explain_customer
from flows.services.workspace import Workspace
from models.explaining.segments import customer_segments, segment_cutoffs
from tests.flows.pages.page_client import (
    PASSWORD,
    ROLES,
    actions,
    client,
    ended,
    enter,
    sign_in,
    token,
    words,
)

# Page or form, and the role that it asks for.
PAGES = {
    "/customers": "read", "/customers/c0001": "read", "/draft": "read", "/campaigns": "read",
    "/campaigns/win_back": "read", "/results": "read", "/models": "read", "/monitor": "read",
    "/actions": "operate",
}  # fmt: skip
FORMS = {
    "/customers.csv": "read", "/sign-out": "read", "/campaigns/none/approve": "approve",
    "/campaigns/none/file": "approve", "/results/measure": "approve",
    "/models/promote": "operate", "/models/roll-back": "operate",
}  # fmt: skip


def first_customer(output: Path) -> str:
    return str(read_current(output).scores["customer_id"].iloc[0])


def test_every_page_is_known(browser: TestClient, output: Path) -> None:
    """Roles of new pages are tested, too."""
    mounted = next(r for r in browser.app.app.routes if r.path == "/pages")  # type: ignore[attr-defined]
    varying = {"/customers/{customer:path}": "/customers/c0001",
               "/campaigns/{campaign}": "/campaigns/win_back",
               "/campaigns/{campaign}/approve": "/campaigns/none/approve",
               "/campaigns/{campaign}/file": "/campaigns/none/file"}  # fmt: skip
    paths = {varying.get(route.path, route.path) for route in mounted.app.routes}
    assert paths == {*PAGES, *FORMS, "/sign-in", "/style.css", "/icon.svg", "/"}


@pytest.mark.parametrize("path", PAGES)
def test_no_page_shows_anything_before_sign_in(browser: TestClient, path: str) -> None:
    browser.cookies.clear()
    answer = browser.get(f"/pages{path}", follow_redirects=False)
    assert (answer.status_code, answer.content) == (303, b"")
    assert answer.headers["location"].startswith("/pages/sign-in?next=")


@pytest.mark.parametrize("path", FORMS)
def test_no_form_does_anything_before_sign_in(browser: TestClient, path: str) -> None:
    browser.cookies.clear()
    mine = token(browser.get("/pages/sign-in").text)
    assert browser.post(f"/pages{path}", data={"token": mine}).status_code == 401


@pytest.mark.parametrize("role", ROLES)
def test_a_role_does_what_it_may_and_no_more(browser: TestClient, output: Path, role: str) -> None:
    assert sign_in(browser, role).status_code == 303
    for path, asked in PAGES.items():
        wanted = 200 if ROLES.index(role) >= ROLES.index(asked) else 403
        path = path.replace("c0001", first_customer(output))
        assert browser.get(f"/pages{path}").status_code == wanted, path
    mine = token(browser.get("/pages/customers").text)
    for path, asked in FORMS.items():
        if ROLES.index(role) < ROLES.index(asked):
            assert browser.post(f"/pages{path}", data={"token": mine}).status_code == 403, path
            last = actions(output)[-1]
            assert (last["who"], last["outcome"]) == (role, "not allowed")


@pytest.mark.parametrize("path", FORMS)
def test_a_form_without_the_sessions_token_does_nothing(
    browser: TestClient, output: Path, path: str
) -> None:
    enter(browser, output, "operate")
    mine = token(browser.get("/pages/customers").text)
    for sent, headers in (
        ({}, {}),
        ({"token": "x" + mine}, {}),
        ({"token": mine}, {"Sec-Fetch-Site": "cross-site"}),
    ):
        answer = browser.post(f"/pages{path}", data=sent, headers=headers)
        assert answer.status_code == 403
        assert actions(output)[-1]["outcome"] == "not from our form"
    assert browser.get("/pages/customers", follow_redirects=False).status_code == 200


def test_a_wrong_password_is_refused_logged_and_slowed_down(
    browser: TestClient, output: Path
) -> None:
    assert sign_in(browser, "nobody", "wrong").status_code == 401
    assert actions(output)[-1] | {"at": ""} == {
        "at": "", "who": "nobody", "what": "sign in", "detail": "",
        "outcome": "wrong name or password",
    }  # fmt: skip
    tried = [sign_in(browser, "nobody", PASSWORD).status_code for _ in range(6)]
    assert 429 in tried
    assert set(tried) <= {401, 429}
    assert browser.get("/pages/customers", follow_redirects=False).status_code == 303


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        ("/campaigns", "/pages/campaigns"),
        ("/customers?stage=lapsed", "/pages/customers?stage=lapsed"),
        ("//evil.example", "/pages/customers"),
        ("https://evil.example", "/pages/customers"),
        ("/\\evil.example", "/pages/customers"),
        ("/a\r\nSet-Cookie: x=y", "/pages/customers"),
    ],
)
def test_after_sign_in_the_browser_stays_here(output: Path, wanted: str, reached: str) -> None:
    with client(output) as browser:
        form = {"name": "read", "password": PASSWORD, "next": wanted}
        form["token"] = token(browser.get("/pages/sign-in").text)
        answer = browser.post("/pages/sign-in", data=form, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, reached)


def test_pages_run_no_script_and_the_cookie_is_for_this_site_alone(
    browser: TestClient, output: Path
) -> None:
    answer = sign_in(browser, "operate")
    cookie = answer.headers["set-cookie"]
    for word in ("HttpOnly", "SameSite=strict", "Path=/pages", "Max-Age=28800"):
        assert word in cookie
    assert "Secure" not in cookie
    browser.cookies.clear()
    secure = browser.get("/pages/sign-in", headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in secure.headers["set-cookie"]
    enter(browser, output, "operate")
    for path in ("/customers", "/campaigns", "/models"):
        answer = browser.get(f"/pages{path}")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "script" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script| style=| on\w+=|javascript:", answer.text)


def test_a_new_session_begins_with_sign_in_and_ends_with_sign_out(
    browser: TestClient, output: Path
) -> None:
    browser.cookies.clear()
    browser.get("/pages/sign-in")
    before = browser.cookies["stagecast_session"]
    sign_in(browser, "approve")
    assert browser.cookies["stagecast_session"] != before
    mine = token(browser.get("/pages/customers").text)
    browser.post("/pages/sign-out", data={"token": mine})
    assert browser.get("/pages/customers", follow_redirects=False).status_code == 303


def test_a_proxy_signs_in_and_strangers_cannot_pretend(output: Path) -> None:
    text = (output / "config.yaml").read_text(encoding="utf-8")
    proxy = {"user_header": "X-User", "trusted": ["10.1.0.0/16"], "users": {"anna": "approve"}}
    (output / "config.yaml").write_text(
        yaml.safe_dump(yaml.safe_load(text) | {"pages": {"proxy": proxy}}), encoding="utf-8"
    )
    try:
        named = {"X-User": "anna", "X-Forwarded-For": "10.1.2.3", "Host": "shop.example"}
        with client(output, peer="10.1.2.3") as inside, client(output, peer="10.2.0.1") as outside:
            answer = inside.get("/pages/customers", headers=named)
            assert answer.status_code == 200
            assert "anna (approve)" in words(answer.text)
            assert inside.get("/pages/customers", headers={"X-User": "carl"}).status_code == 403
            stranger = outside.get("/pages/customers", headers=named, follow_redirects=False)
            assert stranger.status_code == 303
    finally:
        (output / "config.yaml").write_text(text, encoding="utf-8")


def test_the_table_lists_the_most_valuable_first_and_pages_turn(
    browser: TestClient, output: Path
) -> None:
    enter(browser, output, "read")
    scores = read_current(output).scores
    text = browser.get("/pages/customers").text
    ids = re.findall(r'<th scope="row"><a [^>]+>([^<]+)</a>', text)
    ordered = scores.sort_values(["clv", "customer_id"], ascending=[False, True])
    assert ids == ordered["customer_id"].head(25).tolist()
    assert f"{len(scores):,} customers" in words(text)
    (following,) = re.findall(r'rel="next" href="([^"]+)"', text)
    second = browser.get(following.replace("&amp;", "&")).text
    ids = re.findall(r'<th scope="row"><a [^>]+>([^<]+)</a>', second)
    assert ids == ordered["customer_id"].iloc[25:50].tolist()
    (back,) = re.findall(r'rel="prev" href="([^"]+)"', second)
    first = browser.get(back.replace("&amp;", "&")).text
    assert re.findall(r"<tbody>.*?</tbody>", first, re.S) == re.findall(
        r"<tbody>.*?</tbody>", text, re.S
    )
    assert 'rel="prev"' not in first


@pytest.mark.parametrize(
    "query",
    [
        "sort=p_churn%22", "order=sideways", "segment=None", "after=x", "after=[1]",
        "after=[{},%22a%22]", "after=[%22a%22,%22b%22]", "stage=%00", "after=" + "[" * 5000,
        "before=[1e999,%22a%22]&after=[1,2]",
    ],
)  # fmt: skip
def test_what_no_table_can_show_is_refused(browser: TestClient, output: Path, query: str) -> None:
    enter(browser, output, "read")
    answer = browser.get(f"/pages/customers?{query}")
    assert answer.status_code == 422
    assert "Expected:" in words(answer.text)


def test_a_segment_comes_as_a_file_and_as_a_playbook(
    browser: TestClient, output: Path, tmp_path: Path
) -> None:
    enter(browser, output, "read")
    current = read_current(output)
    parts = Workspace(output).scorer(int(current.run.scorer_version)).parts
    segments = customer_segments(current.scores, segment_cutoffs(parts))
    mine = current.scores[segments == "Win back"]
    query = "segment=Win+back"
    text = browser.get(f"/pages/customers?{query}").text
    assert f"{len(mine):,} customers" in words(text)
    form = {"segment": "Win back", "token": token(text)}
    answer = browser.post("/pages/customers.csv", data=form)
    assert "attachment" in answer.headers["content-disposition"]
    rows = pd.read_csv(io.BytesIO(answer.content), dtype={"customer_id": str})
    assert rows["customer_id"].tolist() == sorted(mine["customer_id"])
    assert set(rows["segment"]) == {"Win back"}
    assert rows["historic_clv"].sum() == pytest.approx(mine["historic_clv"].sum())
    assert actions(output)[-1]["what"] == "download customers"
    shown = browser.get(f"/pages/draft?{query}&band=high&stage=lapsed").text
    (code,) = re.findall(r"<code>(campaign:.*?)</code>", shown, re.S)
    import html

    path = tmp_path / "my_campaign.yaml"
    path.write_text(html.unescape(code), encoding="utf-8")
    assert load_playbook(path).stages["recency_frequency"] == ("lapsed",)
    assert "churn_band" in code


def test_a_search_that_looks_like_markup_is_shown_as_text(
    browser: TestClient, output: Path
) -> None:
    enter(browser, output, "read")
    text = browser.get("/pages/customers?search=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").text
    assert "<script" not in text
    assert "No customer matches" in text


def test_a_card_says_what_the_commands_say(browser: TestClient, output: Path) -> None:
    enter(browser, output, "read")
    for customer in read_current(output).scores["customer_id"].iloc[::60]:
        answer = browser.get(f"/pages/customers/{customer}")
        said = words(answer.text)
        assert "<svg" in answer.text
        for reason in explain_customer(output, customer)["reasons"]:
            assert reason["sentence"] in said
    assert browser.get("/pages/customers/of-nobody").status_code == 404


def test_a_campaign_shows_every_exclusion_in_words(browser: TestClient, output: Path) -> None:
    enter(browser, output, "read")
    run_id = read_current(output).run.run_id
    folder = output / "runs" / run_id / "audiences"
    exclusions = pd.read_csv(folder / "exclusions.csv")
    plan = pd.read_csv(folder / "plan.csv").set_index("campaign_id")
    said = words(browser.get("/pages/campaigns").text)
    for campaign, title in plan["title"].items():
        assert title in said
        page = words(browser.get(f"/pages/campaigns/{campaign}").text)
        mine = exclusions[(exclusions["campaign_id"] == campaign) & (exclusions["customers"] > 0)]
        for line in mine.itertuples():
            assert exclusion_text(line.reason, dict(plan["title"])) in page
            assert f" {line.customers:,} " in page
    assert browser.get("/pages/campaigns/none").status_code == 404


def test_approval_releases_the_export_by_the_command_and_the_file_comes(
    browser: TestClient, output: Path
) -> None:
    enter(browser, output, "approve")
    text = browser.get("/pages/campaigns/win_back").text
    assert "Waits:" in text
    (run_id,) = re.findall(r'name="run_id" value="([^"]+)"', text)
    form = {"token": token(text), "run_id": "another"}
    assert browser.post("/pages/campaigns/win_back/approve", data=form).status_code == 409
    form["run_id"] = run_id
    shown = browser.post("/pages/campaigns/win_back/approve", data=form)
    assert "Running: approve export win_back" in words(shown.text)
    assert 'http-equiv="refresh"' in shown.text
    other = browser.post("/pages/results/measure", data=form)
    assert (other.status_code, "one action at a time" in other.text) == (422, True)
    assert ended(output, "approve export")["outcome"] == "done"
    current = read_current(output)
    assert current.run.run_id != run_id
    plan = pd.read_csv(output / "runs" / current.run.run_id / "audiences" / "plan.csv")
    held = plan.set_index("campaign_id")["held"]
    assert pd.isna(held["win_back"])
    assert held["save_valuable_customers"] == "first run"
    text = browser.get("/pages/campaigns/win_back").text
    assert "Ready." in words(text)
    (name, *_) = re.findall(r'name="name" value="([^"]+win_back[^"]*)"', text)
    answer = browser.post(
        "/pages/campaigns/win_back/file", data={"token": token(text), "name": name}
    )
    audience = current.audience
    treated = audience[
        (audience["campaign_id"] == "win_back") & (audience["arm"] == "treatment")
        & (audience["change"] != "removed")
    ]  # fmt: skip
    rows = pd.read_csv(io.BytesIO(answer.content), dtype=str)
    assert len(rows) == len(treated)
    for wrong in ("../../config.yaml", "", "/etc/passwd"):
        form = {"token": token(text), "name": wrong}
        assert browser.post("/pages/campaigns/win_back/file", data=form).status_code == 404
    assert browser.post("/pages/campaigns/win_back/approve", data=form).status_code == 409


def test_models_are_promoted_and_rolled_back_by_the_commands(
    browser: TestClient, output: Path
) -> None:
    enter(browser, output, "operate")
    text = browser.get("/pages/models").text
    assert "champion" in words(text)
    form = {"token": token(text)}
    browser.post("/pages/models/promote", data=form)
    assert ended(output, "promote")["outcome"] == "done"
    browser.post("/pages/models/roll-back", data=form)
    outcome = ended(output, "roll back")["outcome"]  # there is no champion before the first one
    assert "expected" in outcome
    assert outcome in words(browser.get("/pages/actions").text)


def test_the_monitors_findings_are_shown(browser: TestClient, output: Path) -> None:
    enter(browser, output, "read")
    assert "has not run yet" in words(browser.get("/pages/monitor").text)
    finding = {"check": "volume", "subject": "purchase", "measure": "count", "value": 1.0,
               "expected": 9.0, "limit": 4.0, "alarm": True, "note": "too few <b>"}  # fmt: skip
    folder = output / "monitoring" / "2021-03-01"
    folder.mkdir(parents=True)
    content = {"summary": "one alarm", "findings": [finding, {**finding, "alarm": False}]}
    (folder / "findings.json").write_text(json.dumps(content), encoding="utf-8")
    text = browser.get("/pages/monitor").text
    assert "one alarm" in text
    assert "too few &lt;b&gt;" in text
    (folder / "findings.json").write_text("{", encoding="utf-8")
    assert browser.get("/pages/monitor").status_code == 422
