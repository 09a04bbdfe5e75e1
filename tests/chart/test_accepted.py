"""Every file in values/ renders, and each reader of a part of it accepts that part.

Kubernetes by its own schemas, the Prometheus Operator and the Gateway API by schemas from their
documentation, Prometheus by promtool, and the exporter by its own settings.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import helm_python as helm
import jsonschema  # type: ignore[import-untyped]  # no stubs are pinned
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import trustme

from exporter.probe import REQUIRED
from exporter.settings import load
from exporter.web.access import Access
from scripts.chart import CHART
from tests.chart.rendering import ACCEPTED, HERE, NAMESPACE, Rendered, rendered, values_of
from tests.servers import promtool
from tests.support import VERSIONS

EVERY = pytest.mark.parametrize("name", [path.stem for path in ACCEPTED])
CUSTOM = {
    kind: jsonschema.Draft7Validator(json.loads((HERE / "schemas" / f"{kind}.json").read_text()))
    for kind in (
        "ServiceMonitor",
        "PodMonitor",
        "PrometheusRule",
        "AlertmanagerConfig",
        "HTTPRoute",
    )
}


@pytest.fixture(scope="module", autouse=True)
def _schemas_are_read_once() -> Iterator[None]:
    """The library itself reads all of a version's definitions again for each object."""
    utils = kubernetes_validate.utils
    with mock.patch.object(utils, "schema_contents", cache(utils.schema_contents)):
        yield


def test_there_are_files_for_all_on_all_off_and_each_feature() -> None:
    assert {"all-on", "all-off", "defaults"} < {path.stem for path in ACCEPTED}
    assert len(ACCEPTED) >= 15


@EVERY
def test_helm_finds_nothing_to_complain_about(name: str) -> None:
    values = values_of((HERE / "values" / f"{name}.yml").read_text())
    report = helm.lint(CHART, values, strict=True, namespace=NAMESPACE)
    assert report["total_charts_linted"] == 1
    assert report["errors"] == []
    # An icon is a matter of taste; nothing else may be said.
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]


@EVERY
@pytest.mark.parametrize("version", ["1.27", "1.30", "1.36"])
def test_kubernetes_accepts_every_object(name: str, version: str) -> None:
    for manifest in rendered(name).manifests:
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)


@EVERY
def test_operators_accept_their_own_objects(name: str) -> None:
    for kind, validator in CUSTOM.items():
        for manifest in rendered(name).every(kind):
            validator.validate(manifest)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("ServiceMonitor", ("spec", "endpoints", 0, "interval"), "often"),
        ("ServiceMonitor", ("spec", "endpoints", 0, "scrapeTimeOut"), "10s"),
        ("ServiceMonitor", ("spec", "endpoints", 0, "tlsConfig"), {"ca": "ca.crt"}),
        ("ServiceMonitor", ("spec", "selector"), None),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "expression"), "up"),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "labels"), {"severity": 1}),
        ("PrometheusRule", ("spec", "groups", 0, "name"), ""),
        ("AlertmanagerConfig", ("spec", "route", "group_by"), ["account"]),
        ("AlertmanagerConfig", ("spec", "route", "matchers", 0, "matchType"), "=="),
        ("AlertmanagerConfig", ("spec", "receivers", 0, "name"), ""),
        ("AlertmanagerConfig", ("spec", "receivers", 0, "webhookConfigs", 0, "urlSecret"), "text"),
    ],
)
def test_the_operators_schemas_refuse_what_the_operator_would(
    kind: str, path: tuple[str | int, ...], value: object
) -> None:
    (manifest,) = rendered("all-on").every(kind)
    broken: Any = json.loads(json.dumps(manifest))
    node = broken
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        CUSTOM[kind].validate(broken)


@EVERY
def test_objects_have_names_of_their_own_and_no_secret_is_outside_a_secret(name: str) -> None:
    found = rendered(name)
    names = [
        (m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]) for m in found.manifests
    ]
    assert len(names) == len(set(names))
    others = [m for m in found.manifests if m["kind"] != "Secret"]
    assert "not-for-config-maps" not in json.dumps(others)
    assert "$2b$" not in json.dumps(others)


@EVERY
def test_what_a_pod_mounts_and_reads_is_there_or_is_named_by_the_values(name: str) -> None:
    found = rendered(name)
    values = values_of((HERE / "values" / f"{name}.yml").read_text())
    spec = found.pod["spec"]
    claims = found.workload["spec"].get("volumeClaimTemplates", ())
    volumes = {v["name"] for v in spec["volumes"]} | {c["metadata"]["name"] for c in claims}
    assert {mount["name"] for mount in found.exporter["volumeMounts"]} <= volumes
    made = {secret["metadata"]["name"] for secret in found.every("Secret")}
    named = {
        values.get("existingSecret"),
        values.get("existingWebConfigSecret"),
        values.get("tls", {}).get("existingSecret"),
    }
    secrets = {v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v}
    # The defaults' Secret is the one that NOTES.txt says how to make.
    allowed = made | named | ({found.workload["metadata"]["name"]} if name == "defaults" else set())
    assert secrets <= allowed


@EVERY
def test_the_program_accepts_its_file_and_its_variables(name: str, tmp_path: Path) -> None:
    found = rendered(name)
    environ = {
        variable: value if isinstance(value, str) else f"{variable} of the Secret"
        for variable, value in found.environ.items()
    }
    demo = found.exporter["args"][0] == "demo"
    assert found.exporter["args"][0] in ("serve", "demo")
    path = environ.pop("HELPSCOUT_CONFIG", None)
    if demo:
        assert path is None
        environ |= {"HELPSCOUT_CLIENT_ID": "demo", "HELPSCOUT_CLIENT_SECRET": "demo"}
        configuration = load(None, environ)
    else:
        assert path == "/etc/helpscout-exporter/config/config.yml"
        (tmp_path / "config.yml").write_text(found.config_text)
        host = f"{found.workload['metadata']['name']}-1"
        configuration = load(tmp_path / "config.yml", environ, hostname=lambda: host)
        assert str(configuration.state_file) == "/var/lib/helpscout-exporter/state.db"
    assert configuration.warnings == ()
    (port,) = found.exporter["ports"]
    assert configuration.web.listen == (f":{port['containerPort']}",)
    assert configuration.shard.total == found.workload["spec"]["replicas"]


@EVERY
def test_the_program_accepts_its_web_configuration(name: str, tmp_path: Path) -> None:
    found = rendered(name)
    given = [
        s["stringData"]["web.yml"] for s in found.every("Secret") if "web.yml" in s["stringData"]
    ]
    if not given:
        return
    authority = trustme.CA()
    pair = authority.issue_cert("helpscout.example")
    pair.private_key_pem.write_to_path(tmp_path / "tls.key")
    pair.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    mounted = "/etc/helpscout-exporter/tls"
    (tmp_path / "web.yml").write_text(given[0].replace(mounted, str(tmp_path)))
    access = Access(tmp_path / "web.yml")
    probe = found.exporter["livenessProbe"]
    assert ("exec" in probe) == (access.tls is not None and access.tls.client_auth_type == REQUIRED)
    if "httpGet" in probe:
        assert probe["httpGet"]["scheme"] == ("HTTPS" if access.tls else "HTTP")


def test_some_values_have_a_web_configuration_of_each_kind() -> None:
    texts = " ".join(path.read_text(encoding="utf-8") for path in ACCEPTED)
    assert "basic_auth_users:" in texts
    assert "client_auth_type: RequireAndVerifyClientCert" in texts


@EVERY
def test_every_secret_that_the_program_reads_is_a_key_of_the_charts_secret(name: str) -> None:
    found = rendered(name)
    secrets = found.every("Secret")
    credentials = [secret for secret in secrets if "web.yml" not in secret["stringData"]]
    if not credentials:
        return
    (secret,) = credentials
    files = [
        account[key]
        for account in found.config["accounts"]
        for key in ("client_id_file", "client_secret_file", "api_key_file")
        if key in account
    ]
    assert {Path(file).name for file in files} == set(secret["stringData"])
    assert {str(Path(file).parent) for file in files} == {"/etc/helpscout-exporter/secrets"}


def _groups(found: Rendered) -> list[dict[str, Any]]:
    return [group for rule in found.every("PrometheusRule") for group in rule["spec"]["groups"]]


def test_prometheus_accepts_every_rendered_rule(tmp_path: Path) -> None:
    files = []
    for path in ACCEPTED:
        if groups := _groups(rendered(path.stem)):
            files.append(tmp_path / f"{path.stem}.yml")
            files[-1].write_text(json.dumps({"groups": groups}))
    assert len(files) >= 3
    for version in VERSIONS:
        code, said = promtool("check", "rules", *files, version=version)
        assert code == 0, said
        assert said.count("SUCCESS") == len(files)
