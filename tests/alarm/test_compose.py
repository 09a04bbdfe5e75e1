"""compose.yaml as far as it can be seen without Docker: it fits together and to the repository."""

import re
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from exporter.durations import parse_duration
from exporter.probe import LISTEN_VARIABLE, Listener, configured
from exporter.settings import load
from tests.servers import EACH_VERSION, promtool
from tests.support import ROOT, need, read_yaml

COMPOSE: dict[str, Any] = read_yaml(ROOT / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EVERY = pytest.mark.parametrize("name", SERVICES)
EXPORTERS = pytest.mark.parametrize("name", ["exporter", "exporter-real"])


def of_image(pattern: str) -> str:
    """Return what the image that compose builds says in a line of its Dockerfile."""
    (found,) = re.findall(pattern, (ROOT / "Dockerfile").read_text())
    return str(found)


def mounted(name: str, place: str) -> str | Path:
    """Return what a service has at a place: a path of this repository, or a volume's name."""
    for volume in SERVICES[name]["volumes"]:
        source, target = str(volume).split(":")[:2]
        if PurePosixPath(place).is_relative_to(target):
            rest = PurePosixPath(place).relative_to(target)
            return ROOT / source / rest if source.startswith("./") else source
    raise AssertionError(f"{name} has nothing at {place}")


def ports(name: str) -> list[str]:
    """Return the ports of a service's container that are published."""
    return [port.rpartition(":")[2] for port in SERVICES[name]["ports"]]


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


@EXPORTERS
def test_an_exporter_listens_where_it_is_published_and_scraped(name: str) -> None:
    environ = {LISTEN_VARIABLE: of_image(rf"{LISTEN_VARIABLE}=(\S+)")}
    environ |= SERVICES[name]["environment"]
    listener = configured(None, environ)
    assert listener == Listener("", int(of_image(r"\nEXPOSE (\d+)\n")))
    assert ports(name) == [str(listener.port)]
    scrapes = read_yaml(ROOT / "prometheus/prometheus.yml")["scrape_configs"]
    found = [each for scrape in scrapes for each in scrape["dns_sd_configs"]]
    assert [each["port"] for each in found if each["names"] == [name]] == [listener.port]


def test_the_state_file_is_on_a_volume_that_the_images_user_may_write() -> None:
    state = SERVICES["exporter-real"]["environment"]["HELPSCOUT_STATE_FILE"]
    assert mounted("exporter-real", state) == "exporter-state"
    user, group = of_image(r"\nUSER (\S+)\n").split(":")
    assert of_image(rf"install -d -o {user} -g {group} (\S+)") == str(Path(state).parent)


@EXPORTERS
def test_a_healthcheck_has_the_time_that_it_takes_to_give_up(name: str) -> None:
    given = SERVICES[name]["healthcheck"]["timeout"]
    for seconds in (given, of_image(r"HEALTHCHECK .*--timeout=(\S+)")):
        assert parse_duration(seconds).total_seconds() > 5


def test_prometheus_alertmanager_and_grafana_find_their_files_and_each_other() -> None:
    arguments = dict(each[2:].split("=") for each in SERVICES["prometheus"]["command"])
    config = ROOT / "prometheus/prometheus.yml"
    assert mounted("prometheus", arguments["config.file"]) == config
    assert mounted("prometheus", arguments["storage.tsdb.path"]) == "prometheus-data"
    for rules in read_yaml(config)["rule_files"]:
        found = mounted("prometheus", rules)
        assert isinstance(found, Path)
        assert list(found.parent.glob(found.name))
    (template,) = read_yaml(ROOT / "prometheus/alertmanager.yml")["templates"]
    places = [volume.split(":")[1] for volume in SERVICES["alertmanager"]["volumes"]]
    assert any(PurePosixPath(each).match(f"/etc/alertmanager/{template}") for each in places)

    environ = SERVICES["grafana"]["environment"]
    assert environ["PROMETHEUS_URL"] == f"http://prometheus:{ports('prometheus')[0]}"
    first = mounted("grafana", environ["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert isinstance(first, Path)
    assert first.is_file()
    provisioned = read_yaml(ROOT / "grafana/provisioning/dashboards/helpscout.yml")
    (folder,) = [each["options"]["path"] for each in provisioned["providers"]]
    assert mounted("grafana", folder) == first.parent
    (to,) = read_yaml(config)["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert to == f"alertmanager:{ports('alertmanager')[0]}"


@EXPORTERS
def test_an_exporter_runs_with_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
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
