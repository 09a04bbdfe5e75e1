"""compose.yaml as far as it can be seen without Docker: it fits together and to the repository."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.settings import load
from tests.servers import EACH_VERSION, promtool
from tests.support import ROOT, need, read_yaml

COMPOSE: dict[str, Any] = read_yaml(ROOT / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EVERY = pytest.mark.parametrize("name", SERVICES)


def test_without_a_profile_the_simulated_chain_runs_and_the_real_account_is_a_profile() -> None:
    usual = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert usual == {"exporter", "prometheus", "alertmanager", "grafana"}
    assert SERVICES["exporter"]["command"][0] == "demo"
    assert SERVICES["exporter-real"]["profiles"] == ["real"]
    assert SERVICES["exporter-real"]["command"][0] == "serve"


@EVERY
def test_what_a_service_names_is_there(name: str) -> None:
    service = SERVICES[name]
    for volume in service.get("volumes", ()):
        source, target, *mode = volume.split(":")
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]
        assert target.startswith("/")
    assert set(service.get("secrets", ())) <= set(COMPOSE.get("secrets", ()))
    assert set(service.get("depends_on", ())) <= set(SERVICES)


@EVERY
def test_every_image_has_a_version_and_every_port_is_for_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    _, _, tag = service["image"].partition(":")
    assert tag
    assert tag != "latest"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["exporter", "exporter-real"])
def test_an_exporter_runs_with_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "healthcheck" in service["healthcheck"]["test"]


@EVERY
def test_a_read_only_service_has_no_secret_that_compose_would_have_to_write_into_it(
    name: str,
) -> None:
    """Compose copies a secret from the environment into the container, which it then refuses."""
    service = SERVICES[name]
    given = [COMPOSE["secrets"][secret] for secret in service.get("secrets", ())]
    assert not service.get("read_only") or all("file" in secret for secret in given)


@pytest.mark.parametrize(
    ("given", "api"),
    [
        ({"HELPSCOUT_CLIENT_ID": "id", "HELPSCOUT_CLIENT_SECRET": "secret"}, "v2"),
        ({"HELPSCOUT_API_KEY": "key"}, "v1"),
    ],
)
def test_the_real_accounts_settings_are_accepted(
    tmp_path: Path, given: dict[str, str], api: str
) -> None:
    environ = dict(SERVICES["exporter-real"]["environment"])
    for name in ("HELPSCOUT_CLIENT_ID", "HELPSCOUT_CLIENT_SECRET", "HELPSCOUT_API_KEY"):
        assert environ[name] == f"${{{name}:-}}"
        environ[name] = given.get(name, "")
    environ["HELPSCOUT_STATE_FILE"] = str(tmp_path / "state.db")
    configuration = load(None, environ)
    assert [account.api for account in configuration.accounts] == [api]
    assert [objective.name for objective in configuration.objectives] == ["first-reply-1h"]
    assert configuration.compare is True
    assert not configuration.warnings


@EACH_VERSION
def test_prometheus_finds_rules_alertmanager_and_both_exporters(
    version: str, tmp_path: Path
) -> None:
    text = (ROOT / "prometheus/prometheus.yml").read_text()
    config = yaml.safe_load(text)
    jobs = {
        scrape["job_name"]: [name for found in scrape["dns_sd_configs"] for name in found["names"]]
        for scrape in config["scrape_configs"]
    }
    assert jobs == {"helpscout-demo": ["exporter"], "helpscout": ["exporter-real"]}
    assert {name for names in jobs.values() for name in names} <= set(SERVICES)
    local = text.replace("/etc/prometheus/rules", str(ROOT / "prometheus/rules"))
    (tmp_path / "prometheus.yml").write_text(local)
    code, said = promtool("check", "config", tmp_path / "prometheus.yml", version=version)
    assert code == 0, said
    assert "2 rule files found" in said


@EACH_VERSION
def test_alertmanager_reads_what_is_mounted_the_template_of_texts_included(
    version: str, tmp_path: Path
) -> None:
    for volume in SERVICES["alertmanager"]["volumes"]:
        source, target = volume.split(":")[:2]
        if target.startswith("/etc/alertmanager/"):
            (tmp_path / Path(target).name).write_text((ROOT / source).read_text())
    checked = subprocess.run(
        [need("amtool", version), "check-config", str(tmp_path / "alertmanager.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "1 templates" in checked.stdout


def test_grafana_is_told_where_prometheus_is_and_gets_nothing_that_takes_over_its_own() -> None:
    provisioning = ROOT / "grafana/provisioning"
    source = (provisioning / "datasources/prometheus.yml").read_text()
    assert "${PROMETHEUS_URL}" in source
    assert "PROMETHEUS_URL" in SERVICES["grafana"]["environment"]
    (described,) = yaml.safe_load(source)["datasources"]
    assert described["isDefault"] is False
    assert described["name"] != "Prometheus"
    kinds = {path.parent.name for path in provisioning.rglob("*.yml")}
    assert kinds == {"dashboards", "datasources"}, "alerts are examples, not provisioned"
