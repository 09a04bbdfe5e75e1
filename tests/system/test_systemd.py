"""The units in packaging/systemd: systemd's own tools accept them, and what they start works."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from exporter.poller.dispatcher import STOP_SECONDS
from tests.support import ROOT, Metrics, eventually, get, need
from tests.system.conftest import Desk, Start, address

UNITS: Final = ROOT / "packaging" / "systemd"
PROGRAM: Final = "/opt/helpscout-exporter/bin/helpscout-exporter"
SERVICES: Final = ("helpscout-exporter.service", "helpscout-exporter-textfile.service")
EXPOSED: Final = {
    "IPAddressDeny": "Help Scout's addresses are not known",
    "PrivateNetwork": "it asks Help Scout",
    "RestrictAddressFamilies_AF_INET_INET6": "it asks Help Scout",
    "RestrictAddressFamilies_AF_UNIX": "the probes' own socket, and the log",
    "ProcSubset": "without /proc/stat the process's start time would be wrong",
    "DeviceAllow": "systemd's own of ProtectClock",
    "PrivateMounts": "mounting is a right that it does not have",
    "RootDirectoryOrRootImage": "its Python is the host's",
}
"""What a service has in spite of all restrictions, and why."""
TARGETS: Final = {".service": "multi-user", ".socket": "sockets", ".timer": "timers"}


def settings(name: str) -> Iterator[tuple[str, str]]:
    """Yield every setting of a unit, in its order."""
    for line in (UNITS / name).read_text().splitlines():
        if found := re.fullmatch(r"(\w+)=(.*)", line):
            yield found[1], found[2]


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A copy of the units whose program is there."""
    folder = tmp_path / "units"
    shutil.copytree(UNITS, folder)
    program = Path(sys.executable).parent / "helpscout-exporter"
    for path in folder.rglob("*.*"):
        if path.is_file():
            path.write_text(path.read_text().replace(PROGRAM, str(program)))
    return folder


def analyzed(*arguments: str | Path) -> str:
    """Return what systemd-analyze says, which has to be content."""
    environ = os.environ | {"TZ": "UTC"}
    done = subprocess.run(
        [need("systemd-analyze"), *arguments],
        env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_nothing_wrong_with_the_units(units: Path) -> None:
    paths = [path for path in sorted(units.iterdir()) if path.is_file()]
    assert {path.suffix for path in paths} == {".service", ".socket", ".timer"}
    assert analyzed("verify", "--recursive-errors=no", *paths) == ""


def test_systemd_would_find_a_misspelt_setting(units: Path) -> None:
    for path in (units / SERVICES[0], units / f"{SERVICES[0]}.d" / "socket.conf"):
        text = path.read_text()
        path.write_text(text.replace("[Service]\n", "[Service]\nProtectSytem=strict\n"))
        assert "ProtectSytem" in analyzed("verify", units / SERVICES[0])
        path.write_text(text)


@pytest.mark.parametrize("name", SERVICES)
def test_systemd_finds_nothing_exposed_but_what_a_service_needs(units: Path, name: str) -> None:
    said = analyzed("security", "--offline=true", "--json=short", units / name)
    exposed = {
        each["json_field"]: float(each["exposure"]) for each in json.loads(said) if each["exposure"]
    }
    if "systemd 252 " in analyzed("--version"):
        assert exposed.keys() == EXPOSED.keys()
    # A newer one may look for more than the units' authors could know of.
    assert sum(exposed.values()) <= 2.0


def test_what_the_page_enables_starts_with_the_machine(units: Path, tmp_path: Path) -> None:
    place = tmp_path / "etc/systemd/system"
    place.parent.mkdir(parents=True)
    units.rename(place)
    page = (ROOT / "docs/systemd.md").read_text()
    commands = re.findall(r"^systemctl enable --now (.+)$", page, re.MULTILINE)
    assert len(commands) == 3
    enabled = {name for words in commands for name in words.split()}
    for name in enabled:
        systemctl = [need("systemctl"), f"--root={tmp_path}", "enable", name]
        subprocess.run(systemctl, check=True, capture_output=True)
        unit = name if Path(name).suffix else f"{name}.service"
        target = TARGETS[Path(unit).suffix]
        assert (place / f"{target}.target.wants" / unit).is_symlink()
    assert {Path(name).suffix or ".service" for name in enabled} == {*TARGETS}


def test_the_timer_starts_a_round_every_quarter_of_an_hour() -> None:
    calendar = dict(settings("helpscout-exporter-textfile.timer"))["OnCalendar"]
    said = analyzed("calendar", "--base-time=2026-03-11 14:20 UTC", "--iterations=4", calendar)
    assert re.findall(r"2026-03-11 (\d\d:\d\d:\d\d) UTC", said) == [
        "14:30:00",
        "14:45:00",
        "15:00:00",
        "15:15:00",
    ]


def seconds(span: str) -> float:
    """Return what systemd takes a time span for."""
    (micros,) = re.findall(r"μs: (\d+)", analyzed("timespan", span))
    return float(micros) / 1e6


def test_systemd_starts_the_daemon_again_and_leaves_it_the_time_to_end() -> None:
    found = dict(settings("helpscout-exporter.service"))
    assert found["Restart"] in ("on-failure", "always")
    assert seconds(found["TimeoutStopSec"]) >= 2 * STOP_SECONDS


def test_the_daemon_is_a_user_of_its_own_that_writes_only_its_state() -> None:
    found = dict(settings("helpscout-exporter.service"))
    assert found["DynamicUser"] == "yes"
    assert found["ProtectSystem"] == "strict"
    assert found["StateDirectory"] == "helpscout-exporter"
    assert "ReadWritePaths" not in found
    # What restricts one restricts the other.
    other = dict(settings("helpscout-exporter-textfile.service"))
    restrictions = {
        key: value
        for key, value in found.items()
        if key.startswith(("Protect", "Private", "Restrict", "SystemCall", "Capab", "Ambient"))
    }
    assert len(restrictions) >= 15
    assert restrictions.items() <= other.items()


def started(name: str, desk: Desk, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return command and variables as systemd would make them of a unit, below a folder."""
    found = list(settings(name))
    etc, credentials, state = folder / "etc", folder / "credentials", folder / "state"
    for path in (etc, credentials, state / "helpscout-exporter", folder / "node-exporter"):
        path.mkdir(parents=True)
    given = desk.environ("v2")
    secrets = {
        "client-id": given["HELPSCOUT_CLIENT_ID"],
        "client-secret": given["HELPSCOUT_CLIENT_SECRET"],
    }
    for key, value in found:
        if key == "LoadCredential":
            credential, _, source = value.partition(":")
            (credentials / credential).write_text(secrets[Path(source).name] + "\n")
    (etc / "config.yml").write_text(
        yaml.safe_dump(
            {
                "accounts": [{"base_url": given["HELPSCOUT_BASE_URL"]}],
                "types": ["all"],
                "windows": ["24h"],
                "web": {"listen": "127.0.0.1:0"},
            }
        )
    )
    variables = dict(
        value.replace("%d", str(credentials)).replace("%S", str(state)).split("=", 1)
        for key, value in found
        if key == "Environment"
    )
    command = dict(found)["ExecStart"].replace(PROGRAM, "").split()
    moved = {
        "/etc/helpscout-exporter": etc,
        "/var/lib/prometheus/node-exporter": folder / "node-exporter",
    }
    for place, path in moved.items():
        command = [word.replace(place, str(path)) for word in command]
    return command, variables


def test_the_daemon_logs_in_with_its_credentials_keeps_its_state_and_reloads(
    start: Start, frozen_desk: Desk, tmp_path: Path
) -> None:
    command, variables = started("helpscout-exporter.service", frozen_desk, tmp_path)
    process = start(*command, environ=variables)
    url = address(process)
    assert eventually(lambda: 'helpscout_up{account="default"} 1' in get(f"{url}/metrics").text, "")
    assert (tmp_path / "state/helpscout-exporter/state.db").is_file()
    reload = dict(settings("helpscout-exporter.service"))["ExecReload"]
    subprocess.run(reload.replace("$MAINPID", str(process.pid)).split(), check=True)
    process.says('"(configuration reloaded)"')


def test_the_text_file_is_written_where_the_node_exporter_reads(
    start: Start, frozen_desk: Desk, tmp_path: Path
) -> None:
    command, variables = started("helpscout-exporter-textfile.service", frozen_desk, tmp_path)
    found = dict(settings("helpscout-exporter-textfile.service"))
    assert str(Path(found["ExecStart"].split()[-1]).parent) in found["ReadWritePaths"].split()
    process = start(*command, environ=variables)
    assert process.wait() == 0, process.stderr
    (file,) = (tmp_path / "node-exporter").iterdir()
    assert file.suffix == ".prom"
    assert file.stat().st_mode & 0o044 == 0o044
    assert Metrics.of_text(file.read_text()).value("helpscout_up", account="default") == 1


def test_the_socket_is_where_the_daemon_would_listen_and_the_service_serves_it() -> None:
    socket = dict(settings("helpscout-exporter.socket"))
    assert socket["ListenStream"] == "127.0.0.1:9877"
    drop_in = dict(settings("helpscout-exporter.service.d/socket.conf"))
    assert drop_in["Environment"] == "HELPSCOUT_WEB__LISTEN=systemd"
    assert drop_in["Requires"] == "helpscout-exporter.socket"


def test_the_page_names_every_unit() -> None:
    page = (ROOT / "docs/systemd.md").read_text()
    for path in UNITS.rglob("*.*"):
        if path.is_file():
            assert path.name in page
