"""What a healthcheck learns from the command line of a container's main process."""

from pathlib import Path

import pytest

from exporter.started import Started, main_process

IMAGE = "/opt/exporter/bin/python3 /opt/exporter/bin/helpscout-exporter"


@pytest.mark.parametrize(
    ("line", "started"),
    [
        (f"{IMAGE} serve", Started("serve")),
        (f"{IMAGE} serve --listen :8080", Started("serve", None, ":8080")),
        (f"{IMAGE} serve --listen=:8080 --config /c.yml", Started("serve", "/c.yml", ":8080")),
        (f"{IMAGE} demo --listen 0.0.0.0:1", Started("demo", None, "0.0.0.0:1")),
        ("helpscout-exporter serve --config=c.yml", Started("serve", "c.yml")),
        ("python3 -m exporter serve --listen :1 --listen :2", Started("serve", None, ":1")),
        ("helpscout-exporter serve --config a --config b", Started("serve", "b")),
        (
            "/sbin/docker-init -- helpscout-exporter serve --listen :8080",
            Started("serve", None, ":8080"),
        ),
        (f"{IMAGE} simulate --listen :9878", None),
        (f"{IMAGE} healthcheck", None),
        (f"{IMAGE} check --config serve", None),
        ("/usr/sbin/nginx serve --listen :80", None),
        ("sh -c", None),
        ("/sbin/init", None),
        ("", None),
    ],
)
def test_the_command_line_of_the_main_process_is_read(
    tmp_path: Path, line: str, started: Started | None
) -> None:
    file = tmp_path / "cmdline"
    file.write_bytes("".join(f"{word}\0" for word in line.split()).encode())
    assert main_process(file) == started


def test_without_a_process_file_system_nothing_is_known(tmp_path: Path) -> None:
    assert main_process(tmp_path / "cmdline") is None


def test_what_is_not_utf8_is_kept_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "cmdline"
    file.write_bytes(b"helpscout-exporter\0serve\0--config\0/\xff.yml\0")
    assert main_process(file) == Started("serve", "/\udcff.yml")
