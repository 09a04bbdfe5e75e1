"""The chart says what it is a copy of, and documents what it takes: nobody has to remember to."""

import itertools
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from exporter import __version__
from exporter.settings import ConfigurationError, leaves
from exporter.web import webconfig
from scripts import chart as written
from scripts.chart import CHART
from scripts.repository import image
from tests.chart.rendering import chart, render
from tests.support import ROOT, code_block, read_yaml

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALUES: dict[str, Any] = read_yaml(CHART / "values.yaml")
PAGES = ("docs/kubernetes.md", "helm/helpscout-exporter/README.md")
OTHER_NAME = {"$ref": "#/definitions/otherName"}
SET_BY_THE_CHART = {
    "state_file",
    "web.listen",
    "web.config_file",
    "shard.index",
    "shard.total",
    "shard.by",
}
SECRET = {"accounts.client_secret", "accounts.api_key"}


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while reference := schema.get("$ref"):
        schema = SCHEMA["definitions"][reference.removeprefix("#/definitions/")]
    return schema


def _in_schema(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield every key without further ones below; no elements of lists, no refused names."""
    if schema == OTHER_NAME:
        return
    schema = _resolved(schema)
    schema = _resolved(schema["items"]) if "items" in schema else schema
    options = [_resolved(option) for option in schema.get("oneOf", ())]
    properties = next((o["properties"] for o in (schema, *options) if "properties" in o), None)
    if properties is None:
        yield prefix.removesuffix(".")
        return
    for key, below in properties.items():
        yield from _in_schema(below, f"{prefix}{key}.")


def _in_values(tree: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(tree, dict) and tree:
        for key, below in tree.items():
            yield from _in_values(below, f"{prefix}{key}.")
    else:
        yield prefix.removesuffix(".")


@pytest.mark.parametrize("name", written.files(), ids=str)
def test_what_is_written_is_current(name: Path) -> None:
    assert (CHART / name).read_text(encoding="utf-8") == written.files()[name], "run make chart"


def test_no_copy_outlives_its_source() -> None:
    there = {p.relative_to(CHART) for p in (CHART / "files").rglob("*") if p.is_file()}
    assert there - set(written.files()) == {Path("files/scrape.py")}


def test_versions_are_the_programs() -> None:
    metadata = read_yaml(CHART / "Chart.yaml")
    assert metadata["appVersion"] == metadata["version"] == __version__
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert set(re.findall(r"^ARG VERSION=(.+)$", dockerfile, re.MULTILINE)) == {__version__}


def test_every_value_is_in_the_schema() -> None:
    known = set(_in_schema(SCHEMA))
    for key in _in_values(VALUES):
        parts = key.split(".")
        above = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
        below = any(other.startswith(f"{key}.") for other in known)
        assert above & known or below, key


def test_every_key_of_the_schema_is_in_the_values() -> None:
    there = set(_in_values(VALUES))
    documented = {value.key for value in written.values()}
    for key in _in_schema(SCHEMA):
        parts = key.split(".")
        above = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
        # What is below a documented mapping may be left out of the defaults.
        assert key in there or above & documented, key


def test_every_object_of_the_schema_is_closed_or_free_and_says_so() -> None:
    def closed(node: Any) -> None:
        if isinstance(node, dict):
            if "properties" in node and node is not SCHEMA["properties"]:
                assert node.get("additionalProperties") is False, node
            for below in node.values():
                closed(below)
        elif isinstance(node, list):
            for below in node:
                closed(below)

    closed(SCHEMA)


def _other_names() -> dict[str, str]:
    """Return the names of other charts that are refused, with the right ones."""
    helpers = (CHART / "templates/_helpers.tpl").read_text()
    (text,) = re.findall(
        r'define "helpscout-exporter\.otherNames" -\}\}\n(.*?)\{\{-', helpers, re.DOTALL
    )
    names: dict[str, str] = yaml.safe_load(text)
    return names


@pytest.mark.parametrize(("name", "right"), _other_names().items())
def test_a_name_of_other_charts_is_refused_with_the_right_one(name: str, right: str) -> None:
    values: Any = {}
    for part in reversed(name.split(".")):
        values = {part: values}
    with pytest.raises(helm.HelmError) as refused:
        render(values)
    if right.startswith("-"):
        assert f"{name}: not a value of this chart: {right[1:]}" in str(refused.value)
        return
    assert f"{name}: not a value of this chart: use {right}" in str(refused.value)
    known = {".".join(key.split(".")[:n]) for key in _in_values(VALUES) for n in (1, 2, 3, 4, 5)}
    for word in right.replace(" and ", ", ").replace(" or ", ", ").split(", "):
        free = re.fullmatch(r"(config|\w+\.extra\w+)\..*", word)
        assert (free[1] if free else word.partition("[")[0]) in known, word


def test_the_schema_lets_through_what_the_templates_refuse() -> None:
    def refused(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for key, below in _resolved(schema).get("properties", {}).items():
            if below == OTHER_NAME:
                yield f"{prefix}{key}"
            else:
                yield from refused(below, f"{prefix}{key}.")

    assert sorted(refused(SCHEMA)) == sorted(_other_names())


def test_the_charts_own_value_files_for_its_installation_tests_render() -> None:
    files = sorted((CHART / "ci").glob("*-values.yaml"))
    assert len(files) >= 4
    for path in files:
        found = render(path.read_text())
        assert found.workload
        for manifest in found.manifests:
            if manifest["apiVersion"].partition("/")[0] != "monitoring.coreos.com":
                for version in ("1.30", "1.36"):
                    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize(
    "key",
    [
        "shards",
        "serviceMonitor.enabled",
        "prometheusRule.enabled",
        "dashboards.enabled",
        "networkPolicy.enabled",
        "existingSecret",
        "config",
    ],
)
def test_what_others_rely_on_is_there(key: str) -> None:
    assert key in {value.key for value in written.values()}


def test_every_value_is_documented_once_in_the_readme() -> None:
    text = (CHART / "README.md").read_text()
    rows = re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE)
    assert rows == [value.key for value in written.values()]
    assert len(rows) == len(set(rows))
    covered = {
        key
        for key in _in_values(VALUES)
        if any(key == row or key.startswith(f"{row}.") for row in rows)
    }
    assert covered == set(_in_values(VALUES))


def test_a_value_without_a_comment_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "values.yaml").write_text("# -- Known.\nknown: 1\nunknown: {}\n")
    monkeypatch.setattr(written, "CHART", tmp_path)
    with pytest.raises(written.Undocumented, match="unknown"):
        written.values()


def test_the_alerts_are_those_of_the_rules_and_nothing_overrides_them() -> None:
    rules = read_yaml(ROOT / "prometheus/rules/helpscout.alerts.yml")
    alerts = {
        rule["alert"]: {"enabled": True}
        for group in rules["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert VALUES["prometheusRule"]["alerts"] == alerts
    schema = SCHEMA["properties"]["prometheusRule"]["properties"]["alerts"]
    assert list(schema["properties"]) == list(alerts)


def test_the_chart_knows_which_alert_gives_way_to_which_as_the_page_has_it() -> None:
    page = (ROOT / "docs/alerting.md").read_text()
    helpers = (CHART / "templates/_helpers.tpl").read_text()
    (text,) = re.findall(
        r'define "helpscout-exporter\.giveWay" -\}\}\n(.*?)\{\{-', helpers, re.DOTALL
    )
    known: dict[str, list[str]] = yaml.safe_load(text)
    rows = re.findall(r"^\| (Helpscout[^|\[]*) \| (Helpscout[^|]*) \|$", page, re.MULTILINE)
    wanted: dict[str, set[str]] = {}
    for causes, followers in rows:
        named, and_all, _ = followers.partition("all that HelpscoutAccountDown leaves out")
        for cause in re.findall(r"Helpscout\w+", causes):
            wanted[cause] = set(re.findall(r"Helpscout\w+", named))
            if and_all:
                wanted[cause] |= set(known["HelpscoutAccountDown"])
    assert {cause: set(followers) for cause, followers in known.items()} == wanted


def test_the_schema_knows_every_key_of_the_web_configuration(tmp_path: Path) -> None:
    """The message about an unknown key lists those that there are."""
    known = SCHEMA["definitions"]["webConfig"]["properties"]
    file = tmp_path / "web.yml"
    file.write_text("x: 1\ntls_server_config: {x: 1}\nhttp_server_config: {x: 1}\n")
    with pytest.raises(ConfigurationError) as refused:
        webconfig.read(file)
    for place, properties in (
        ("", known),
        ("tls_server_config.", known["tls_server_config"]["properties"]),
        ("http_server_config.", known["http_server_config"]["properties"]),
    ):
        (listed,) = re.findall(
            rf'yml: {place}"?x"?: unknown key: it is one of (.+)', str(refused.value)
        )
        assert set(listed.split(", ")) == set(properties)


def test_the_schema_knows_every_key_of_the_configuration() -> None:
    known = {".".join(part for part in path if isinstance(part, str)) for path in leaves()}
    taken = set(_in_schema(SCHEMA["definitions"]["config"]))
    assert taken == known - SET_BY_THE_CHART - SECRET


def test_the_package_renders_what_the_checkout_does(tmp_path: Path) -> None:
    package = chart().save(tmp_path)
    values = {"prometheusRule": {"enabled": True}, "dashboards": {"enabled": True}}
    with helm.Chart.load(package) as packed:
        texts = packed.render(values, name="rel", namespace="monitoring")
    assert texts == chart().render(values, name="rel", namespace="monitoring")


def test_the_chart_of_a_release_has_the_image_that_the_release_publishes(tmp_path: Path) -> None:
    folder = written.release(tmp_path)
    metadata = read_yaml(folder / "Chart.yaml")
    name = f"{image()}:{metadata['appVersion']}"
    assert name.startswith("ghcr.io/")
    assert yaml.safe_load(metadata["annotations"]["artifacthub.io/images"]) == [
        {"name": "exporter", "image": name}
    ]
    assert helm.lint(folder, {}, strict=True)["errors"] == []
    with helm.Chart.load(folder) as released:
        texts = released.render({}, name="rel", namespace="monitoring")
        mirrored = released.render(
            {"global": {"imageRegistry": "r.example.org"}}, name="rel", namespace="monitoring"
        )
    assert any(f"image: {name}\n" in text for text in texts.values())
    assert not any("FIRST STEP" in text for text in texts.values())
    elsewhere = name.replace("ghcr.io/", "r.example.org/")
    assert any(f"image: {elsewhere}\n" in text for text in mirrored.values())
    assert f'| `image.repository` | `"{image()}"` |' in (folder / "README.md").read_text()


@pytest.mark.parametrize("enabled", [True, False])
def test_it_can_be_a_part_of_another_chart_behind_a_condition(
    tmp_path: Path, enabled: bool
) -> None:
    metadata = {
        "apiVersion": "v2",
        "name": "parent",
        "version": "1.0.0",
        "dependencies": [
            {"name": CHART.name, "version": "*", "condition": f"{CHART.name}.enabled"}
        ],
    }
    shutil.copytree(CHART, tmp_path / "charts" / CHART.name)
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(metadata))
    values = {
        "global": {"imageRegistry": "registry.example.org", "somethingElse": 1},
        CHART.name: {"enabled": enabled, "existingSecret": "helpscout"},
    }
    with helm.Chart.load(tmp_path) as parent:
        texts = parent.render(values, name="rel", namespace="monitoring")
    image = "image: registry.example.org/helpscout-exporter:"
    assert any(image in text for text in texts.values()) is enabled


@pytest.mark.parametrize("page", PAGES)
def test_links_and_anchors_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    for link in links:
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve()
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, link


@pytest.mark.parametrize(
    "mark",
    [
        "values",
        "ingress",
        "route",
        "alerts",
        "alertmanager",
        "accounts",
        "shards",
        "tls",
        "password",
    ],
)
def test_the_pages_values_render(mark: str) -> None:
    assert render(code_block(f"kubernetes: {mark}", "docs/kubernetes.md")).workload


def _commands(page: str) -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line))]


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_helm_commands_are_for_this_chart_and_its_values(page: str) -> None:
    commands = [words for words in _commands(page) if words[0] == "helm"]
    assert {words[1] for words in commands} >= {"install", "test"}
    for words in commands:
        if words[1] == "test":
            continue
        assert (ROOT / words[3]).resolve() == CHART
        assert "--namespace" in words
        values: dict[str, Any] = {}
        for option, value in itertools.pairwise(words):
            if option == "--set":
                for key, below in helm.parse_set_string(value).items():
                    held = values.get(key)
                    values[key] = held | below if isinstance(held, dict) else below
        assert render(values).workload


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_speak_of_values_that_there_are(page: str) -> None:
    known = {value.key for value in written.values()}
    text = re.sub(
        r"<!-- values:.*?<!-- /values -->", "", (ROOT / page).read_text(), flags=re.DOTALL
    )
    sections = "|".join(sorted({key.split(".")[0] for key in known if "." in key}))
    named = set(re.findall(rf"`((?:{sections})\.[\w.]+)`", text))
    assert named
    assert named <= known
