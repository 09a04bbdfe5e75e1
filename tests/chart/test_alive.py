"""What the chart renders, put where the pod would have it, starts and logs in to every account."""

from pathlib import Path

from tests.chart.rendering import Rendered, render
from tests.support import eventually, scrape
from tests.system.conftest import Start, address, desk, start_once  # noqa: F401 - a fixture

VALUES = """
credentials:
  acme-client-id: demo-1
  acme-client-secret: secret-1
  legacy-api-key: key-2
config:
  accounts:
    - {{name: acme, base_url: {url}/v2}}
    - {{name: legacy, api: v1, base_url: {url}/v1}}
  types: [all]
  windows: [24h]
"""


def _put(found: Rendered, folder: Path) -> dict[str, str]:
    """Write the pod's volumes into a folder; return its variables, their paths being there."""
    (secret,) = found.every("Secret")
    content = {
        "/etc/helpscout-exporter/config": {"config.yml": found.config_text},
        "/etc/helpscout-exporter/secrets": secret["stringData"],
        "/var/lib/helpscout-exporter": {},
    }
    assert {mount["mountPath"] for mount in found.exporter["volumeMounts"]} == set(content)

    def moved(text: str) -> str:
        return text.replace("/etc/", f"{folder}/etc/").replace("/var/", f"{folder}/var/")

    for place, files in content.items():
        here = Path(moved(place))
        here.mkdir(parents=True)
        for name, text in files.items():
            (here / name).write_text(moved(text))
    return {
        name: moved(value)
        if isinstance(value, str)
        else secret["stringData"][value["secretKeyRef"]["key"]]
        for name, value in found.environ.items()
    }


def test_a_rendered_pod_gets_in_with_every_accounts_secret(
    start_once: Start,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    simulator = desk(start_once, "--accounts", "2")
    found = render(VALUES.format(url=simulator.url))
    environ = _put(found, tmp_path) | {"HELPSCOUT_WEB__LISTEN": "127.0.0.1:0"}
    process = start_once(*found.exporter["args"], environ=environ)
    url = address(process)

    def both() -> bool:
        up = scrape(url, "helpscout_up").named("helpscout_up")
        return {(s.labels["account"], s.value) for s in up} == {("acme", 1.0), ("legacy", 1.0)}

    eventually(both, "both accounts are up")
    eventually((tmp_path / "var/lib/helpscout-exporter/state.db").exists, "a state file")
