"""The files for containers: no service has rights that it does not need, and none is reachable."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
OURS = [name for name, service in COMPOSE["services"].items() if service["image"] == "stagecast"]


def test_the_services_are_those_of_the_page() -> None:
    page = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
    for name in COMPOSE["services"]:
        assert f"`{name}`" in page


@pytest.mark.parametrize("name", OURS)
def test_our_services_write_nothing_outside_their_volumes(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


def test_ports_are_bound_to_this_machine() -> None:
    ports = [port for each in COMPOSE["services"].values() for port in each.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_password_is_written_down() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert re.findall(r"://postgres:([^@]*)@", text) == ["${POSTGRES_PASSWORD}"] * 2
    assert COMPOSE["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${")


def test_what_a_service_waits_for_exists_and_can_be_waited_for() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        for other, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[other]
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or source.startswith("./")


def test_the_image_is_built_in_stages_and_runs_as_a_user_without_rights() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    assert len(stages) == 3
    last = stages[-1]
    assert "uv" not in last.replace("/opt/stagecast", "").split()
    assert last.index("\nUSER 10001") < last.index("\nENTRYPOINT")
    assert "apt-get install --yes --no-install-recommends" in last


def test_what_the_image_is_built_from_exists_and_is_let_through() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_through = {line[1:] for line in lines if line.startswith("!")}
    for name in let_through:
        assert (ROOT / name).exists(), name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], *wheel["force-include"], "pyproject.toml"} <= let_through


def test_the_development_container_names_a_python_that_the_project_takes() -> None:
    content = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert "uv sync" in content["postCreateCommand"]
    assert ":3.12-" in content["image"]
