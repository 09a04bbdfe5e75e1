"""What stands in the objects, feature by feature: valid is not yet right."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from scripts.chart import CHART
from tests.alarm.conftest import GROUPS
from tests.alarm.promql import metrics_of, reachable
from tests.chart.rendering import FULL_NAME, HERE, Manifest, Rendered, render, rendered
from tests.servers import promtool
from tests.support import ROOT, VERSIONS, need, read_yaml

SECRETS = "/etc/helpscout-exporter/secrets"
HASH = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"
EXEC = {"command": ["helpscout-exporter", "healthcheck"]}


ALERTS = [rule["alert"] for group in GROUPS for rule in group["rules"] if "alert" in rule]


# --- one pod or several -------------------------------------------------------------------------


def test_one_pod_is_a_deployment_that_never_runs_twice() -> None:
    found = rendered("existing-secret")
    assert found.workload["kind"] == "Deployment"
    assert found.workload["spec"]["strategy"] == {"type": "Recreate"}
    assert found.workload["spec"]["replicas"] == 1
    assert not any(name.startswith("HELPSCOUT_SHARD") for name in found.environ)
    assert not found.every("PodDisruptionBudget")
    assert len(found.every("Service")) == 1


def test_shards_are_a_parallel_statefulset_whose_pods_know_their_part() -> None:
    found = rendered("shards")
    spec = found.workload["spec"]
    assert found.workload["kind"] == "StatefulSet"
    assert (spec["replicas"], spec["podManagementPolicy"]) == (3, "Parallel")
    assert "updateStrategy" not in spec
    assert found.environ["HELPSCOUT_SHARD__INDEX"] == "auto"
    assert found.environ["HELPSCOUT_SHARD__TOTAL"] == "3"
    assert found.environ["HELPSCOUT_SHARD__BY"] == "mailbox"
    headless = found.one("Service", spec["serviceName"])
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"] is True


def test_where_there_are_several_a_budget_keeps_all_but_one() -> None:
    budget = rendered("shards").one("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget
    assert budget["selector"] == rendered("shards").workload["spec"]["selector"]
    chosen = rendered("shards-with-volumes").one("PodDisruptionBudget")["spec"]
    assert chosen["minAvailable"] == "50%"
    assert "maxUnavailable" not in chosen
    assert not rendered("all-off").every("PodDisruptionBudget")


def test_a_service_monitor_finds_each_shard_once() -> None:
    found = rendered("shards")
    wanted = found.one("ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    matching = [s for s in found.every("Service") if wanted <= s["metadata"]["labels"].items()]
    assert [service["metadata"]["name"] for service in matching] == [FULL_NAME]


@pytest.mark.parametrize("name", ["existing-secret", "shards", "names", "all-on"])
def test_selectors_match_the_exporters_pods_and_no_pod_of_helm_test(name: str) -> None:
    found = rendered(name)
    selector = found.workload["spec"]["selector"]["matchLabels"].items()
    assert selector <= found.pod["metadata"]["labels"].items()
    (test,) = found.every("Pod")
    for service in found.every("Service"):
        chosen = service["spec"]["selector"].items()
        assert chosen <= found.pod["metadata"]["labels"].items()
        assert not chosen <= test["metadata"]["labels"].items()


def test_a_workload_is_updated_as_asked() -> None:
    assert rendered("workload").workload["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }
    shards = rendered("shards-on-delete").workload["spec"]
    assert shards["updateStrategy"] == {"type": "OnDelete"}
    for number in (1, 2):
        spec = render({"revisionHistoryLimit": 2, "shards": number}).workload["spec"]
        assert spec["revisionHistoryLimit"] == 2


def test_arguments_hooks_and_the_nodes_network_are_as_asked() -> None:
    found = rendered("workload")
    assert found.exporter["args"] == ["serve", "--listen=127.0.0.1:9878", "--listen=:9877"]
    assert "preStop" in found.exporter["lifecycle"]
    assert found.pod["spec"]["hostNetwork"] is True
    assert found.pod["spec"]["dnsPolicy"] == "ClusterFirstWithHostNet"
    usual = rendered("existing-secret")
    assert usual.exporter["args"] == ["serve"]
    assert not {"hostNetwork", "dnsPolicy"} & set(usual.pod["spec"])
    own = render({"existingSecret": "s", "hostNetwork": True, "dnsPolicy": "Default"})
    assert own.pod["spec"]["dnsPolicy"] == "Default"


def test_a_statefulset_of_a_long_name_leaves_room_for_its_pods_hash() -> None:
    found = render({"fullnameOverride": "a" * 63, "existingSecret": "s", "shards": 2})
    assert len(found.workload["metadata"]["name"]) == 52


# --- rights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["existing-secret", "shards", "demo", "all-on"])
def test_pods_have_no_more_rights_than_they_need(name: str) -> None:
    found = rendered(name)
    pods = [found.pod["spec"], *(pod["spec"] for pod in found.every("Pod"))]
    assert len(pods) == 2
    for spec in pods:
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]) == {"requests", "limits"}
    assert found.one("ServiceAccount")["automountServiceAccountToken"] is False


def test_the_user_is_the_images_own() -> None:
    assert "USER 65532:65532" in (ROOT / "Dockerfile").read_text()
    assert rendered("existing-secret").pod["spec"]["securityContext"]["runAsUser"] == 65532


def test_a_cluster_may_choose_the_user() -> None:
    context = rendered("other-user").pod["spec"]["securityContext"]
    assert context["runAsNonRoot"] is True
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(context)


def test_without_a_service_account_of_its_own_it_is_the_namespaces() -> None:
    found = rendered("no-service-account")
    assert not found.every("ServiceAccount")
    assert found.pod["spec"]["serviceAccountName"] == "default"
    named = render({"serviceAccount": {"create": False, "name": "mine"}, "existingSecret": "s"})
    assert named.pod["spec"]["serviceAccountName"] == "mine"


def test_everything_mounted_is_read_only_but_the_state() -> None:
    mounts = {m["mountPath"]: m for m in rendered("tls").exporter["volumeMounts"]}
    writable = {path for path, mount in mounts.items() if not mount.get("readOnly")}
    assert writable == {"/var/lib/helpscout-exporter"}
    assert len(mounts) == 5


# --- configuration and secrets ------------------------------------------------------------------


def test_a_changed_configuration_is_a_new_pod_and_nothing_else_is() -> None:
    def annotations(**values: Any) -> Manifest:
        found = render({"existingSecret": "s", **values}).pod["metadata"]["annotations"]
        assert isinstance(found, dict)
        return found

    usual = annotations()
    assert annotations() == usual
    assert annotations(service={"port": 80}) == usual
    changed = annotations(config={"compare": True})
    assert changed.keys() == usual.keys()
    assert changed["checksum/config"] != usual["checksum/config"]


def test_a_changed_web_config_is_a_new_pod_and_changed_credentials_are_not() -> None:
    def checksums(client_id: str, secret: str, **web: Any) -> Manifest:
        values = {"credentials": {"client-id": client_id, "client-secret": secret}, **web}
        found = render(values).pod["metadata"]["annotations"]
        return {key: value for key, value in found.items() if key.startswith("checksum/")}

    usual = checksums("an-id", "a-secret")
    assert checksums("an-id", "another-secret") == usual
    assert checksums("another-id", "a-secret") == usual
    once, again = (
        checksums("an-id", "a-secret", webConfig={"basic_auth_users": {user: HASH}})
        for user in ("one", "other")
    )
    assert once["checksum/web-config"] != again["checksum/web-config"]


def test_credentials_are_a_secret_whose_keys_are_files() -> None:
    found = rendered("credentials")
    assert found.one("Secret")["stringData"]["client-secret"] == "not-for-config-maps"
    assert found.config["accounts"] == [
        {
            "client_id_file": f"{SECRETS}/client-id",
            "client_secret_file": f"{SECRETS}/client-secret",
        }
    ]
    assert found.config["windows"] == ["24h", {"range": "7d", "every": "30m"}]
    volume = found.volume("secrets")
    assert volume is not None
    assert volume["secret"] == {"secretName": FULL_NAME, "defaultMode": 0o440}
    assert all(isinstance(value, str) for value in found.environ.values())


def test_an_existing_secret_is_used_with_its_own_keys_and_none_is_made() -> None:
    found = rendered("existing-secret")
    assert not found.every("Secret")
    assert found.config["accounts"] == [
        {
            "name": "acme",
            "budget": 0.25,
            "client_id_file": f"{SECRETS}/APP_ID",
            "client_secret_file": f"{SECRETS}/APP_SECRET",
        }
    ]


def test_with_several_accounts_keys_are_led_by_the_accounts_names() -> None:
    found = rendered("several-accounts")
    assert found.config["accounts"] == [
        {
            "name": "acme",
            "client_id_file": f"{SECRETS}/acme-client-id",
            "client_secret_file": f"{SECRETS}/acme-client-secret",
        },
        {
            "name": "acme emea",
            "client_id": "emea-id",
            "concurrency": 2,
            "client_secret_file": f"{SECRETS}/acme-emea-client-secret",
        },
        {"name": "legacy", "api": "v1", "api_key_file": f"{SECRETS}/legacy-api-key"},
        {"name": "other", "client_id": "other-id", "client_secret_file": f"{SECRETS}/OTHER"},
    ]


def test_a_secret_from_elsewhere_needs_no_secret() -> None:
    found = rendered("secrets-from-elsewhere")
    assert found.volume("secrets") is None
    assert not found.every("Secret")
    assert "waits for its credentials" not in found.notes


def test_the_demo_has_neither_configuration_nor_credentials() -> None:
    found = rendered("demo")
    assert found.exporter["args"] == ["demo"]
    assert not found.every("ConfigMap")
    assert not found.every("Secret")
    assert set(found.environ) == {"HELPSCOUT_WEB__LISTEN", "HELPSCOUT_LOG__FORMAT"}


# --- TLS, passwords, probes ---------------------------------------------------------------------


def _probes(found: Rendered) -> tuple[Manifest, Manifest]:
    return found.exporter["livenessProbe"], found.exporter["readinessProbe"]


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("existing-secret", "HTTP"), ("tls", "HTTPS"), ("tls-and-basic-auth", "HTTPS")],
)
def test_probes_ask_the_named_port_over_what_is_spoken(name: str, scheme: str) -> None:
    live, ready = _probes(rendered(name))
    assert live["httpGet"] == {"path": "/-/healthy", "port": "metrics", "scheme": scheme}
    assert ready["httpGet"] == {"path": "/-/ready", "port": "metrics", "scheme": scheme}
    assert live["periodSeconds"] == 30


@pytest.mark.parametrize("name", ["client-certificates", "existing-web-config"])
def test_where_a_kubelet_is_not_let_in_probes_run_the_healthcheck(name: str) -> None:
    for probe in _probes(rendered(name)):
        assert probe["exec"] == EXEC
        assert "httpGet" not in probe


def test_a_demo_can_be_probed_by_exec_too() -> None:
    for probe in _probes(rendered("demo-exec")):
        assert probe["exec"] == EXEC


def test_a_startup_probe_is_there_when_it_is_timed() -> None:
    assert "startupProbe" not in rendered("existing-secret").exporter
    assert rendered("workload").exporter["startupProbe"] == {
        "httpGet": {"path": "/-/healthy", "port": "metrics", "scheme": "HTTP"},
        "periodSeconds": 2,
        "failureThreshold": 30,
    }


def test_probes_have_the_names_of_other_charts_too() -> None:
    exporter = rendered("names-of-other-charts").exporter
    assert exporter["startupProbe"]["httpGet"]["path"] == "/-/healthy"
    assert exporter["startupProbe"]["failureThreshold"] == 20
    assert exporter["livenessProbe"] == {
        "httpGet": {"path": "/-/healthy", "port": "metrics"},
        "initialDelaySeconds": 5,
        "periodSeconds": 20,
        "timeoutSeconds": 10,
        "failureThreshold": 3,
    }
    assert "readinessProbe" not in exporter


def test_probes_can_be_left_out_and_timed() -> None:
    assert not {"livenessProbe", "readinessProbe"} & set(rendered("all-off").exporter)
    timed = render({"existingSecret": "s", "probes": {"liveness": {"timeoutSeconds": 3}}})
    assert timed.exporter["livenessProbe"]["timeoutSeconds"] == 3
    assert timed.exporter["livenessProbe"]["periodSeconds"] == 30


def test_without_a_web_config_there_is_no_trace_of_one() -> None:
    found = rendered("existing-secret")
    assert found.volume("web") is None
    assert found.volume("tls") is None
    assert "HELPSCOUT_WEB__CONFIG_FILE" not in found.environ


def test_a_certificate_alone_is_served() -> None:
    found = rendered("tls")
    web = yaml.safe_load(found.one("Secret", f"{FULL_NAME}-web")["stringData"]["web.yml"])
    folder = "/etc/helpscout-exporter/tls"
    assert web == {
        "tls_server_config": {"cert_file": f"{folder}/tls.crt", "key_file": f"{folder}/tls.key"}
    }
    mounts = {m["name"]: m["mountPath"] for m in found.exporter["volumeMounts"]}
    assert mounts["tls"] == folder
    assert found.environ["HELPSCOUT_WEB__CONFIG_FILE"] == f"{mounts['web']}/web.yml"


def test_a_web_config_is_a_secret_and_completes_the_certificate() -> None:
    found = rendered("tls-and-basic-auth")
    web = yaml.safe_load(found.one("Secret", f"{FULL_NAME}-web")["stringData"]["web.yml"])
    assert web["basic_auth_users"] == {"prometheus": HASH}
    assert web["tls_server_config"]["min_version"] == "TLS13"
    assert web["tls_server_config"]["key_file"].endswith("/tls.key")


def test_an_existing_web_config_is_mounted_under_the_name_that_the_program_is_told() -> None:
    found = rendered("existing-web-config")
    volume = found.volume("web")
    assert volume is not None
    assert volume["secret"]["secretName"] == "helpscout-web"
    assert volume["secret"]["items"] == [{"key": "web-config.yaml", "path": "web.yml"}]
    assert not found.every("Secret")


# --- the state file -----------------------------------------------------------------------------


def test_without_a_volume_of_its_own_the_state_file_is_in_an_emptydir() -> None:
    found = rendered("existing-secret")
    assert found.volume("state") == {"name": "state", "emptyDir": {"sizeLimit": "100Mi"}}
    (folder,) = (m["mountPath"] for m in found.exporter["volumeMounts"] if m["name"] == "state")
    assert found.environ["HELPSCOUT_STATE_FILE"] == f"{folder}/state.db"


def test_a_volume_is_claimed_as_asked() -> None:
    found = rendered("volume")
    claim = found.one("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "fast",
        "selector": {"matchLabels": {"disk": "ssd"}},
    }
    assert found.volume("state") == {
        "name": "state",
        "persistentVolumeClaim": {"claimName": FULL_NAME},
    }


def test_a_claim_that_is_there_is_used() -> None:
    found = rendered("existing-claim")
    assert not found.every("PersistentVolumeClaim")
    volume = found.volume("state")
    assert volume is not None
    assert volume["persistentVolumeClaim"] == {"claimName": "helpscout-state"}


def test_each_shard_has_a_volume_of_its_own() -> None:
    found = rendered("shards-with-volumes")
    (claim,) = found.workload["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "state"
    # As the cluster completes it, so that a comparison with what is there finds no difference.
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
    assert claim["spec"]["storageClassName"] == ""
    assert found.workload["spec"]["persistentVolumeClaimRetentionPolicy"] == {
        "whenScaled": "Delete",
        "whenDeleted": "Retain",
    }
    assert found.volume("state") is None
    assert not found.every("PersistentVolumeClaim")
    kept = {"enabled": True, "annotations": {"helm.sh/resource-policy": "keep"}}
    (claim,) = render({"shards": 2, "persistence": kept}).workload["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["annotations"] == kept["annotations"]


# --- network ------------------------------------------------------------------------------------


def test_a_network_policy_lets_in_the_named_port_and_out_dns_and_https() -> None:
    spec = rendered("service").one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"ports": [{"port": "metrics", "protocol": "TCP"}]}]
    assert spec["egress"] == [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
        {"ports": [{"port": 443, "protocol": "TCP"}]},
    ]


def test_a_network_policy_names_sources_and_targets_and_lets_helm_test_in() -> None:
    found = rendered("network-policy")
    spec = found.one("NetworkPolicy")["spec"]
    prometheus, test = spec["ingress"][0]["from"]
    assert "namespaceSelector" in prometheus
    (pod,) = found.every("Pod")
    assert test["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert spec["ingress"][1] == {"ports": [{"port": 8080, "protocol": "TCP"}]}
    assert "namespaceSelector" in spec["egress"][0]["to"][0]
    assert spec["egress"][2]["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]


def test_a_service_leads_to_the_named_port_wherever_the_program_listens() -> None:
    found = rendered("service")
    service = found.one("Service")
    (port,) = service["spec"]["ports"]
    assert port == {
        "name": "metrics",
        "port": 80,
        "targetPort": "metrics",
        "protocol": "TCP",
        "nodePort": 30080,
    }
    assert service["spec"]["ipFamilies"] == ["IPv6", "IPv4"]
    assert service["metadata"]["labels"]["team"] == "support"
    assert found.exporter["ports"][0]["containerPort"] == 8080
    assert found.environ["HELPSCOUT_WEB__LISTEN"] == ":8080"


def test_an_ingress_shows_the_page_on_every_host_and_path() -> None:
    found = rendered("ingress")
    ingress = found.one("Ingress")
    assert ingress["metadata"]["labels"]["team"] == "support"
    assert "nginx.ingress.kubernetes.io/auth-type" in ingress["metadata"]["annotations"]
    spec = ingress["spec"]
    assert spec["ingressClassName"] == "nginx"
    assert spec["tls"] == [{"secretName": "helpscout-page", "hosts": ["helpscout.example.org"]}]
    shown = [
        (rule["host"], path["path"], path["pathType"], path["backend"]["service"])
        for rule in spec["rules"]
        for path in rule["http"]["paths"]
    ]
    backend = {"name": FULL_NAME, "port": {"name": "metrics"}}
    assert shown == [
        ("helpscout.example.org", "/", "Prefix", backend),
        ("tools.example.org", "/helpscout", "ImplementationSpecific", backend),
        ("tools.example.org", "/other", "Prefix", backend),
    ]
    for url in ("https://helpscout.example.org/ ", "https://tools.example.org/helpscout"):
        assert url in found.notes


def test_a_route_leads_to_the_service() -> None:
    found = rendered("route")
    route = found.one("HTTPRoute")
    assert route["spec"]["parentRefs"][0]["name"] == "public"
    assert route["spec"]["hostnames"] == ["helpscout.example.org"]
    first, page = route["spec"]["rules"]
    assert "backendRefs" not in first
    assert page["backendRefs"] == [{"name": FULL_NAME, "port": 80}]
    assert page["matches"] == [{"path": {"type": "PathPrefix", "value": "/helpscout"}}]
    assert page["filters"][0]["type"] == "URLRewrite"


def test_a_route_may_be_under_the_name_main_and_redirect_to_https() -> None:
    (rule,) = rendered("route-in-main").one("HTTPRoute")["spec"]["rules"]
    assert rule == {
        "filters": [
            {
                "type": "RequestRedirect",
                "requestRedirect": {"scheme": "https", "statusCode": 301},
            }
        ]
    }


def test_the_page_is_shown_to_nobody_unless_asked() -> None:
    found = rendered("defaults")
    assert not [*found.every("Ingress"), *found.every("HTTPRoute")]


# --- Prometheus ---------------------------------------------------------------------------------


def _endpoint(name: str) -> Manifest:
    (endpoint,) = rendered(name).one("ServiceMonitor")["spec"]["endpoints"]
    assert isinstance(endpoint, dict)
    return endpoint


def test_a_service_monitor_is_made_as_asked() -> None:
    monitor = rendered("service-monitor").one("ServiceMonitor")
    assert monitor["metadata"]["namespace"] == "monitoring"
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    assert monitor["metadata"]["annotations"] == {"owner": "support"}
    assert monitor["spec"]["jobLabel"] == "app.kubernetes.io/name"
    assert monitor["spec"]["sampleLimit"] == 50000
    endpoint = _endpoint("service-monitor")
    assert (endpoint["interval"], endpoint["scrapeTimeout"]) == ("2m", "30s")
    assert endpoint["relabelings"][0]["targetLabel"] == "cluster"
    assert endpoint["metricRelabelings"][0]["action"] == "drop"
    assert "tlsConfig" not in endpoint


def test_a_service_monitor_takes_labels_of_service_and_pod_and_a_bearer_token() -> None:
    token = {"type": "Bearer", "credentials": {"name": "scrape", "key": "token"}}
    labels = {"targetLabels": ["team"], "podTargetLabels": ["zone"]}
    values = {"serviceMonitor": {"enabled": True, "authorization": token, **labels}}
    spec = render(values).one("ServiceMonitor")["spec"]
    assert {key: spec[key] for key in labels} == labels
    assert spec["endpoints"][0]["authorization"] == token


def test_no_label_of_the_exporter_overrides_one_of_the_target() -> None:
    assert _endpoint("service-monitor")["honorLabels"] is False


def test_a_service_monitor_asks_the_configured_path() -> None:
    assert _endpoint("whole-configuration")["path"] == "/helpscout/metrics"
    assert _endpoint("shards")["path"] == "/metrics"


def test_a_service_monitor_follows_tls_and_password() -> None:
    assert _endpoint("shards")["scheme"] == "http"
    endpoint = _endpoint("tls")
    assert endpoint["scheme"] == "https"
    assert endpoint["tlsConfig"] == {
        "ca": {"secret": {"name": "helpscout-tls", "key": "ca.crt"}},
        "serverName": f"{FULL_NAME}.monitoring.svc",
    }
    assert _endpoint("tls-and-basic-auth")["basicAuth"]["password"]["name"] == "scrape"
    assert _endpoint("client-certificates")["tlsConfig"]["keySecret"]["key"] == "tls.key"


def test_a_service_monitor_in_another_namespace_names_no_secret_that_is_not_there() -> None:
    values = {
        "existingSecret": "s",
        "tls": {"existingSecret": "helpscout-tls"},
        "serviceMonitor": {"enabled": True, "namespace": "elsewhere"},
    }
    found = render(values)
    (endpoint,) = found.one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["scheme"] == "https"
    assert "tlsConfig" not in endpoint
    assert "WARNING. serviceMonitor.tlsConfig is empty" in found.notes


def test_a_pod_monitor_needs_no_service() -> None:
    found = rendered("pod-monitor")
    monitor = found.one("PodMonitor")
    assert not found.every("ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    spec = monitor["spec"]
    assert spec["selector"]["matchLabels"].items() <= found.pod["metadata"]["labels"].items()
    assert (spec["targetLimit"], spec["attachMetadata"]) == (10, {"node": True})
    (endpoint,) = spec["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["interval"]) == (
        "metrics",
        "/metrics",
        "2m",
    )
    assert endpoint["proxyUrl"] == "http://proxy.example.org:3128"
    assert "Nothing scrapes them" not in found.notes


def test_the_rules_know_the_job_of_a_pod_monitor() -> None:
    job = f'job="monitoring/{FULL_NAME}", namespace="monitoring"'
    groups = json.dumps(rendered("pod-monitor").one("PrometheusRule"))
    assert json.dumps(job)[1:-1] in groups
    named = render(
        {
            "prometheusRule": {"enabled": True},
            "podMonitor": {"enabled": True, "jobLabel": "app.kubernetes.io/name"},
        }
    )
    assert 'job=\\"helpscout-exporter\\"' in json.dumps(named.one("PrometheusRule"))


def test_variables_may_be_a_mapping_as_in_other_charts_and_have_values_that_are_text() -> None:
    environ = rendered("names-of-other-charts").environ
    assert environ["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    assert environ["HELPSCOUT_COMPARE"] == "true"
    assert environ["PASSWORD"] == {"secretKeyRef": {"name": "a", "key": "b"}}
    listed = render({"extraEnv": [{"name": "A", "value": 12345678}]})
    assert listed.environ["A"] == "12345678"


@pytest.mark.parametrize(
    ("key", "there"),
    [
        ("livenessProbe", True),
        ("readinessProbe", True),
        ("startupProbe", False),
        ("securityContext", True),
    ],
)
def test_what_other_charts_switch_by_enabled_is_switched_by_it(key: str, there: bool) -> None:
    usual = rendered("defaults").exporter
    assert (key in usual) is there
    assert key not in render({key: {"enabled": False}}).exporter
    switched_on = render({key: {"enabled": True}}).exporter[key]
    assert "enabled" not in switched_on
    assert not there or switched_on == usual[key]


def test_a_pods_security_context_is_switched_by_enabled_too() -> None:
    assert "securityContext" not in render({"podSecurityContext": {"enabled": False}}).pod["spec"]
    usual = rendered("defaults").pod["spec"]["securityContext"]
    assert render({"podSecurityContext": {"enabled": True}}).pod["spec"]["securityContext"] == usual


def test_a_service_takes_what_those_of_other_charts_take() -> None:
    given = {
        "type": "LoadBalancer",
        "externalIPs": ["192.0.2.1"],
        "externalTrafficPolicy": "Local",
        "ipFamilies": ["IPv6"],
        "ipFamilyPolicy": "SingleStack",
        "loadBalancerClass": "example.org/inner",
        "loadBalancerIP": "192.0.2.2",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "sessionAffinity": "ClientIP",
    }
    spec = render({"service": given}).one("Service")["spec"]
    assert {key: spec[key] for key in given} == given
    assert "clusterIP" not in spec
    for kind, port in (("NodePort", {"nodePort": 30000}), ("ClusterIP", {})):
        spec = render({"service": {"type": kind, "nodePort": 30000}}).one("Service")["spec"]
        assert spec["ports"] == [
            {"name": "metrics", "port": 9877, "targetPort": "metrics", "protocol": "TCP"} | port
        ]
    assert rendered("names-of-other-charts").one("Service")["spec"]["clusterIP"] == "None"


def test_a_path_may_be_a_text_and_the_notes_have_it() -> None:
    assert "The status page: http://tools.example.org/helpscout" in (
        rendered("names-of-other-charts").notes
    )


def test_an_empty_interval_leaves_it_to_prometheus() -> None:
    values = {"serviceMonitor": {"enabled": True, "interval": "", "scrapeTimeout": ""}}
    (endpoint,) = render(values).one("ServiceMonitor")["spec"]["endpoints"]
    assert not {"interval", "scrapeTimeout"} & set(endpoint)


def test_labels_have_the_name_of_other_charts_too() -> None:
    found = rendered("names-of-other-charts")
    for kind in ("ServiceMonitor", "PrometheusRule"):
        assert found.one(kind)["metadata"]["labels"]["release"] == "prometheus"
    assert found.one("AlertmanagerConfig")["metadata"]["labels"]["alertmanager"] == "main"
    dashboards = [m for m in found.every("ConfigMap") if m["metadata"]["name"].endswith("board")]
    assert {m["metadata"]["labels"]["team"] for m in dashboards} == {"support"}


# --- alerts -------------------------------------------------------------------------------------


def test_the_rules_are_the_projects_own() -> None:
    groups = render({"prometheusRule": {"enabled": True}}).one("PrometheusRule")["spec"]["groups"]
    assert _global(groups) == GROUPS


def _global(groups: Any) -> Any:
    """Return the rules without what the chart says about the release's own job."""
    own = f'absent(helpscout:exporter_up{{job="{FULL_NAME}", namespace="monitoring"}})'
    told = ' unless on (job, namespace) ALERTS{alertname="HelpscoutExporterAbsent"}'
    told += ' unless on (namespace) ALERTS{alertname="HelpscoutExporterAbsent", job=""}'
    text = json.dumps(groups).replace(json.dumps(told)[1:-1], "")
    text = text.replace(json.dumps(own)[1:-1], "absent(helpscout:exporter_up)")
    return json.loads(text.replace("on (job, namespace) absent", "on () absent"))


def _rules(found: Rendered, name: str = FULL_NAME) -> dict[str, Manifest]:
    groups = found.one("PrometheusRule", name)["spec"]["groups"]
    return {r.get("alert", r.get("record")): r for group in groups for r in group["rules"]}


def test_each_alert_has_a_switch_and_a_severity() -> None:
    found = rendered("prometheus-rule")
    rule = found.one("PrometheusRule")
    assert rule["metadata"]["namespace"] == "monitoring"
    assert rule["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    rules = _rules(found)
    wanted = {r.get("alert", r.get("record")) for g in GROUPS for r in g["rules"]}
    assert wanted - set(rules) == {"HelpscoutResponseTimeRising"}
    assert set(rules) - wanted == {"Own"}
    assert rules["HelpscoutSlaAtRisk"]["labels"] == {
        "severity": "info",
        "component": "support",
        "team": "support",
    }
    missed = rules["HelpscoutSlaMissed"]
    assert missed["labels"] == {
        "severity": "warning",
        "component": "support",
        "team": "support",
    }
    assert missed["annotations"]["dashboard"] == "support"
    assert missed["annotations"]["runbook_url"] == (
        "https://runbooks.example.org/helpscout#helpscoutslamissed"
    )
    for rule in rules.values():
        assert set(re.findall(r"conversations[^ ]* >= (\d+)", rule["expr"])) <= {"5"}
    assert "helpscout_sla_conversations >= 5" in rules["helpscout:sla_margin_ratio"]["expr"]


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_that_is_off_is_away(alert: str) -> None:
    values = {"prometheusRule": {"enabled": True, "alerts": {alert: {"enabled": False}}}}
    assert alert not in _rules(render(values))


@pytest.mark.parametrize(
    ("rule", "monitor", "job"),
    [
        ({}, {}, f'job="{FULL_NAME}"'),
        ({}, {"jobLabel": "app.kubernetes.io/name"}, 'job="helpscout-exporter"'),
        ({"jobPattern": "support-.+"}, {}, 'job=~"support-.+"'),
    ],
)
def test_an_exporter_is_absent_where_the_releases_own_job_has_none(
    rule: dict[str, str], monitor: dict[str, str], job: str
) -> None:
    values = {"prometheusRule": {"enabled": True, **rule}, "serviceMonitor": monitor}
    rules = _rules(render(values))
    absent = f'absent(helpscout:exporter_up{{{job}, namespace="monitoring"}})'
    assert rules["HelpscoutExporterAbsent"]["expr"] == absent
    matched = "namespace" if "jobPattern" in rule else "job, namespace"
    assert f"unless on ({matched}) {absent}" in rules["HelpscoutAccountGone"]["expr"]


@pytest.mark.parametrize(
    ("alert", "severity", "waits", "labels"),
    [
        # Its own settings, then those of its component, then those for all alerts, then the rule.
        ("HelpscoutSlaMissed", "page", "3h", ("alert", "component", "all", "support")),
        ("HelpscoutSlaAtRisk", "notice", "1h30m", ("component", "component", "all", "support")),
        ("HelpscoutAccountDown", "info", "45m", ("all", "all", "all", "operations")),
        ("HelpscoutExporterDown", "info", "0s", ("all", "all", "all", "operations")),
    ],
)
def test_the_narrower_setting_of_an_alert_wins(
    alert: str, severity: str, waits: str, labels: tuple[str, ...]
) -> None:
    rule = _rules(rendered("alert-settings"))[alert]
    names = ("team", "tier", "cost", "component")
    assert rule["labels"] == {"severity": severity, **dict(zip(names, labels, strict=True))}
    assert rule["for"] == waits


def test_annotations_follow_the_same_order_and_keep_the_rules_texts() -> None:
    rules = _rules(rendered("alert-settings"))
    own = {r["alert"]: r for g in GROUPS for r in g["rules"] if "alert" in r}
    given = {
        alert: [rules[alert]["annotations"][name] for name in ("contact", "note", "chat")]
        for alert in ("HelpscoutSlaMissed", "HelpscoutSlaAtRisk", "HelpscoutAccountDown")
    }
    assert given == {
        "HelpscoutSlaMissed": ["alert", "component", "all"],
        "HelpscoutSlaAtRisk": ["component", "component", "all"],
        "HelpscoutAccountDown": ["all", "all", "all"],
    }
    for alert, rule in own.items():
        for name in ("summary", "description"):
            assert rules[alert]["annotations"][name] == rule["annotations"][name]
    site = "https://runbooks.example.org"
    assert rules["HelpscoutSlaMissed"]["annotations"]["runbook_url"] == f"{site}/sla"
    assert rules["HelpscoutSlaAtRisk"]["annotations"]["runbook_url"] == (
        f"{site}/helpscout#helpscoutslaatrisk"
    )


@pytest.mark.parametrize(
    ("rule", "held"),
    [
        ({}, {}),
        ({"alerts": {"HelpscoutSlaMissed": {"for": "10m"}}}, {}),
        ({"alerts": {"HelpscoutSlaMissed": {"for": "1h30m"}}}, {"HelpscoutSlaAtRisk": "1h30m"}),
        ({"alerts": {"HelpscoutThrottledOften": {"for": "1d"}}}, {}),
        # The longest counts: 60m for shards, 90m for a target that is down.
        (
            {
                "alerts": {
                    "HelpscoutShardsMissing": {"for": "60m"},
                    "HelpscoutExporterDown": {"for": "90m"},
                }
            },
            {
                "HelpscoutShardsMissing": "90m",
                "HelpscoutAccountGone": "90m",
                "HelpscoutShardsMismatched": "60m",
            },
        ),
        (
            {"components": {"support": {"for": "2d"}}},
            {
                "HelpscoutSlaAtRisk": "2d",
                "HelpscoutCustomersWaitNearTarget": "2d",
                "HelpscoutNobodyReplies": "2d",
                "HelpscoutQueueGrows": "2d",
            },
        ),
        (
            {"alertFor": "45m", "components": {"exporter": {"for": "1m"}}},
            {
                "HelpscoutSlaAtRisk": "45m",
                "HelpscoutCustomersWaitNearTarget": "45m",
                "HelpscoutNobodyReplies": "45m",
            },
        ),
    ],
)
def test_a_warning_fires_on_until_a_slower_alert_takes_over(
    rule: dict[str, Any], held: dict[str, str]
) -> None:
    own = {r["alert"]: r for g in GROUPS for r in g["rules"] if "alert" in r}
    rules = _rules(render({"prometheusRule": {"enabled": True, **rule}}))
    changed = {
        alert: rules[alert]["keep_firing_for"]
        for alert in own
        if rules[alert]["keep_firing_for"] != own[alert]["keep_firing_for"]
    }
    assert changed == held


def test_releases_of_two_namespaces_differ_in_what_is_absent_only() -> None:
    """So to Alertmanager the other alerts of both are the same, and nothing is told twice."""
    ours, theirs = (
        _rules(render({"prometheusRule": {"enabled": True}, "namespaceOverride": namespace}))
        for namespace in ("production", "staging")
    )
    differing = {name for name, rule in ours.items() if rule != theirs[name]}
    assert differing == {"HelpscoutExporterAbsent", "HelpscoutAccountGone"}
    for name in differing:
        expr = ours[name]["expr"]
        assert 'namespace="production"' in expr
        assert ours[name] | {"expr": ""} == theirs[name] | {"expr": ""}
        assert expr.replace("production", "staging") == theirs[name]["expr"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("staging", [{}, {"jobPattern": f"{FULL_NAME}.*"}], ids=["job", "pattern"])
@pytest.mark.parametrize(
    ("rules_of", "firing"),
    [
        (("production", "staging"), ("HelpscoutExporterAbsent",)),
        # Where staging has no rules of its own, those of production still miss its account.
        (("production",), ("HelpscoutAccountGone",)),
    ],
)
def test_a_release_that_is_gone_is_reported_once_beside_one_that_is_well(
    rules_of: tuple[str, ...],
    firing: tuple[str, ...],
    staging: dict[str, str],
    version: str,
    tmp_path: Path,
) -> None:
    """Staging ends after half an hour; production goes on, with an account of the same name."""
    rules = {}
    for namespace in rules_of:
        rule = {"enabled": True} | (staging if namespace == "staging" else {})
        values = {"prometheusRule": rule, "namespaceOverride": namespace}
        (found,) = render(values).every("PrometheusRule")
        rules[f"{namespace}.yml"] = found["spec"]["groups"]
    series = [
        {
            "series": f'{name}{{job="{FULL_NAME}", namespace="{namespace}"{labels}}}',
            "values": samples,
        }
        for namespace, samples in (("production", "1x120"), ("staging", "1x30 stale"))
        for name, labels in (
            ("up", ""),
            ("helpscout_exporter_build_info", ', version="1"'),
            ("helpscout_up", ', account="acme"'),
        )
    ]
    for file, groups in rules.items():
        fed = reachable(groups, metrics_of(series))
        (tmp_path / file).write_text(json.dumps({"groups": fed}))
    told = 'count by (alertname, namespace) (ALERTS{alertstate="firing"})'
    tests = [
        {"expr": told, "eval_time": "30m", "exp_samples": []},
        {
            "expr": told,
            "eval_time": "80m",
            "exp_samples": [
                {"labels": f'{{alertname="{alert}", namespace="staging"}}', "value": 1}
                for alert in firing
            ],
        },
    ]
    content = {
        "rule_files": list(rules),
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": tests}],
    }
    (tmp_path / "test.yml").write_text(json.dumps(content))
    code, said = promtool("test", "rules", tmp_path / "test.yml", version=version)
    assert code == 0, said


ROUTED: Final = {"alertname": "HelpscoutSlaMissed", "namespace": "monitoring", "job": FULL_NAME}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "labels", "receiver"),
    [
        ("all-on", {"component": "support", "severity": "warning"}, "support"),
        ("all-on", {"component": "support", "severity": "critical"}, "support"),
        ("all-on", {"component": "exporter", "severity": "critical"}, "exporter"),
        ("all-on", {"component": "exporter", "severity": "warning"}, "exporter"),
        ("all-on", {"component": "support", "job": "another"}, "others"),
        ("all-on", {"component": "support", "namespace": "another"}, "others"),
        ("all-on", {"component": "support", "alertname": "KubePodCrashLooping"}, "others"),
        ("alertmanager-config", {"component": "support", "severity": "warning"}, "support"),
        ("alertmanager-config", {"component": "support", "severity": "critical"}, "critical"),
        ("alertmanager-config", {"component": "exporter", "severity": "critical"}, "critical"),
        ("alertmanager-config", {"component": "exporter", "severity": "warning"}, "exporter"),
        # With a pattern for the job, and no job at all where no exporter is there.
        ("alertmanager-config-least", {"component": "support", "job": "support-emea"}, "support"),
        ("alertmanager-config-least", {"component": "exporter", "job": ""}, "exporter"),
        ("alertmanager-config-least", {"component": "support", "job": "web-support-1"}, "others"),
    ],
)
def test_alertmanager_routes_a_releases_alerts_by_component(
    name: str, labels: dict[str, str], receiver: str, version: str, tmp_path: Path
) -> None:
    spec = rendered(name).one("AlertmanagerConfig")["spec"]
    names = [{"name": entry["name"]} for entry in spec["receivers"]]
    configuration = {
        "route": {"receiver": "others", "routes": [_as_alertmanager_has_it(spec["route"])]},
        "receivers": [{"name": "others"}, *names],
        "time_intervals": [
            {"name": entry["name"], "time_intervals": []}
            for entry in spec.get("muteTimeIntervals", ())
        ],
    }
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(configuration))
    command = [need("amtool", version), "config", "routes", "test"]
    given = [f"{key}={value}" for key, value in (ROUTED | labels).items() if value]
    done = subprocess.run(
        [*command, f"--config.file={tmp_path / 'alertmanager.yml'}", *given],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [receiver]


def _as_alertmanager_has_it(route: Manifest) -> Manifest:
    """Return a route as the operator writes it into Alertmanager's file."""
    written = {
        re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", key): route[key] for key in route
    }
    if "matchers" in written:
        written["matchers"] = [
            f'{m["name"]}{m["matchType"]}"{m["value"]}"' for m in written["matchers"]
        ]
    if "routes" in written:
        written["routes"] = [_as_alertmanager_has_it(below) for below in written["routes"]]
    return written


def test_messages_are_grouped_as_in_the_projects_own_alertmanager_file() -> None:
    own = read_yaml(ROOT / "prometheus/alertmanager.yml")["route"]
    (manifest,) = rendered("alertmanager-config").every("AlertmanagerConfig")
    route = _as_alertmanager_has_it(manifest["spec"]["route"])
    for key in ("group_by", "group_wait", "group_interval", "repeat_interval"):
        assert route[key] == own[key]
    critical, support, exporter = route["routes"]
    assert critical == {
        "receiver": "critical",
        "matchers": ['severity="critical"'],
        "repeat_interval": own["routes"][0]["repeat_interval"],
    }
    assert support["active_time_intervals"] == ["office"]
    assert exporter == {"receiver": "exporter", "repeat_interval": "1d"}


def test_messages_are_timed_as_asked() -> None:
    times = {"groupWait": "2m", "groupInterval": "3m", "repeatInterval": "1d"}
    hook = {"receiver": {"webhookConfigs": [{"url": "https://hooks.example.org"}]}}
    receivers = dict.fromkeys(("support", "exporter"), hook)
    given = {"enabled": True, "muteTimeIntervals": [{"name": "office"}], **times, **receivers}
    spec = render({"alertmanagerConfig": given}).one("AlertmanagerConfig")["spec"]
    assert {key: spec["route"][key] for key in times} == times
    assert spec["muteTimeIntervals"] == [{"name": "office"}]


def test_the_receivers_are_in_the_operators_object_as_given() -> None:
    found = rendered("alertmanager-config").one("AlertmanagerConfig")
    assert found["metadata"]["labels"]["alertmanager"] == "main"
    assert found["metadata"]["annotations"] == {"owner": "support"}
    receivers = {
        receiver.pop("name"): receiver for receiver in map(dict, found["spec"]["receivers"])
    }
    given = read_yaml(HERE / "values/alertmanager-config.yml")
    assert receivers == {
        name: given["alertmanagerConfig"][name]["receiver"]
        for name in ("critical", "exporter", "support")
    }


def test_the_notes_warn_of_an_alertmanager_config_that_the_operator_would_bind_elsewhere() -> None:
    words = "WARNING. alertmanagerConfig.namespace"
    config = read_yaml(HERE / "values/alertmanager-config.yml")
    assert words not in render(config).notes
    config["alertmanagerConfig"]["namespace"] = "elsewhere"
    assert words in render(config).notes


# --- Grafana ------------------------------------------------------------------------------------


def test_each_dashboard_is_a_config_map_that_the_sidecar_takes_in() -> None:
    boards = sorted((ROOT / "grafana/dashboards").glob("*.json"))
    found = {
        name: (text, manifest["metadata"])
        for manifest in rendered("all-on").every("ConfigMap")
        for name, text in manifest["data"].items()
        if name.endswith(".json")
    }
    assert set(found) == {board.name for board in boards}
    for board in boards:
        text, metadata = found[board.name]
        assert json.loads(text) == json.loads(board.read_text())
        assert metadata["labels"]["grafana_dashboard"] == "1"
        assert metadata["annotations"] == {"grafana_folder": "Support"}
        assert metadata["namespace"] == "monitoring"


def test_label_value_folder_and_namespace_of_dashboards_are_free() -> None:
    found = [m for m in rendered("dashboards").every("ConfigMap") if "config.yml" not in m["data"]]
    assert len(found) == 3
    for manifest in found:
        metadata = manifest["metadata"]
        assert metadata["namespace"] == "grafana"
        assert metadata["labels"]["dashboards"] == "yes"
        assert "grafana_dashboard" not in metadata["labels"]
        assert metadata["annotations"] == {"folder": "Support", "owner": "support"}


def test_without_a_folder_there_is_no_annotation() -> None:
    found = render({"existingSecret": "s", "dashboards": {"enabled": True}})
    boards = [m for m in found.every("ConfigMap") if "config.yml" not in m["data"]]
    assert len(boards) == 3
    assert not any("annotations" in board["metadata"] for board in boards)


# --- the rest -----------------------------------------------------------------------------------


def test_names_and_common_labels_reach_every_object() -> None:
    found = rendered("names")
    for manifest in (*found.manifests, found.pod):
        metadata = manifest["metadata"]
        assert metadata["labels"]["team"] == "support"
        assert metadata["labels"]["app.kubernetes.io/version"]
        if manifest is not found.pod:
            assert metadata["name"].startswith("desk")
            assert metadata["namespace"] == "elsewhere"
            assert metadata["annotations"]["owner"] == "support"
    assert found.exporter["image"] == (
        "registry.example.org/monitoring/helpscout-exporter@sha256:" + "0123456789abcdef" * 4
    )
    pull = [{"name": "global-pull"}, {"name": "pull"}, {"name": "pull-too"}]
    assert found.pod["spec"]["imagePullSecrets"] == pull
    assert found.pod["spec"]["serviceAccountName"] == "desk-account"
    account = found.one("ServiceAccount", "desk-account")
    assert account["metadata"]["annotations"] == {"owner": "support", "role": "desk"}
    assert "team" not in found.workload["spec"]["selector"]["matchLabels"]


def test_the_image_is_the_charts_version_unless_told_otherwise() -> None:
    version = read_yaml(CHART / "Chart.yaml")["appVersion"]
    usual = rendered("existing-secret").exporter
    assert usual["image"] == f"helpscout-exporter:{version}"
    assert usual["imagePullPolicy"] == "IfNotPresent"
    image = {"registry": "r.example.org", "repository": "x/y", "tag": "2", "pullPolicy": "Always"}
    own = render({"image": image}).exporter
    assert (own["image"], own["imagePullPolicy"]) == ("r.example.org/x/y:2", "Always")


def test_pods_are_placed_as_the_values_say() -> None:
    spec = rendered("scheduling").pod["spec"]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert spec["tolerations"][0]["key"] == "dedicated"
    assert "podAntiAffinity" in spec["affinity"]
    assert (spec["priorityClassName"], spec["runtimeClassName"]) == ("monitoring", "gvisor")
    assert spec["terminationGracePeriodSeconds"] == 60
    zone, node = spec["topologySpreadConstraints"]
    assert zone["labelSelector"] == rendered("scheduling").workload["spec"]["selector"]
    assert node["labelSelector"] == {"matchLabels": {"own": "selector"}}
    assert rendered("scheduling").exporter["resources"]["limits"]["cpu"] == "1"
    (helm_test,) = rendered("scheduling").every("Pod")
    for key in ("nodeSelector", "tolerations"):
        assert helm_test["spec"][key] == spec[key]


def test_what_is_further_asked_for_is_there() -> None:
    found = rendered("extras")
    spec = found.pod["spec"]
    assert found.environ["HTTPS_PROXY"] == "http://proxy.example.org:3128"
    assert found.exporter["envFrom"] == [{"configMapRef": {"name": "more"}}]
    assert found.volume("ca") == {"name": "ca", "configMap": {"name": "ca"}}
    assert [c["name"] for c in spec["containers"]] == ["exporter", "sidecar"]
    assert [c["name"] for c in spec["initContainers"]] == ["first"]
    assert found.workload["metadata"]["annotations"] == {"place": "workload"}
    assert found.pod["metadata"]["annotations"]["place"] == "pod"
    assert found.pod["metadata"]["labels"]["team"] == "support"
    assert spec["dnsConfig"]["nameservers"] == ["10.0.0.10"]
    assert spec["hostAliases"][0]["ip"] == "10.0.0.2"
    assert found.one("ConfigMap", "rel-more")["data"] == {"HELPSCOUT_COMPARE": "true"}
    assert found.one("ConfigMap", f"{FULL_NAME}-text")


def test_helm_test_can_be_off_or_ask_help_scout_too() -> None:
    assert not rendered("all-off").every("Pod")
    (usual,) = rendered("existing-secret").every("Pod")
    assert [c["name"] for c in usual["spec"]["containers"]] == ["scrape"]
    assert usual["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (both,) = rendered("all-on").every("Pod")
    scrape, check = both["spec"]["containers"]
    assert check["args"] == ["check"]
    assert not any(entry["name"].startswith("HELPSCOUT_SHARD") for entry in check["env"])
    # Behind a password, and behind certificates, there is less to see.
    assert scrape["args"] == ["https", f"{FULL_NAME}.monitoring.svc", "9877", ""]
    for name in ("client-certificates", "existing-web-config"):
        (pod,) = rendered(name).every("Pod")
        assert pod["spec"]["containers"][0]["args"][0] == "tcp"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("defaults", "--from-literal=client-id=YOUR_APP_ID \\\n    --from-literal=client-secret="),
        ("existing-secret", "deployment/rel-helpscout-exporter --container exporter -- helpscout"),
        ("shards", "statefulset/rel-helpscout-exporter"),
        ("demo", "runs on a simulated account"),
        ("existing-secret", "helm test rel --namespace monitoring"),
        ("tls", "curl --insecure https://127.0.0.1:9877/metrics"),
        ("existing-secret", "--set serviceMonitor.enabled=true"),
        ("existing-secret", "--set prometheusRule.enabled=true"),
        ("existing-secret", "--set dashboards.enabled=true"),
    ],
)
def test_the_notes_say_the_next_step(name: str, words: str) -> None:
    assert words in rendered(name).notes


def test_the_notes_name_every_key_of_the_secret_that_is_to_be_made() -> None:
    accounts = [{"name": "acme"}, {"name": "legacy", "api": "v1"}]
    notes = render({"config": {"accounts": accounts}}).notes
    for literal in ("acme-client-id=YOUR_APP_ID", "acme-client-secret=YOUR_APP_SECRET"):
        assert f"--from-literal={literal}" in notes
    assert "--from-literal=legacy-api-key=YOUR_API_KEY" in notes


@pytest.mark.parametrize(
    ("values", "is_missing"),
    [
        ({}, True),
        ({"demo": True}, True),
        ({"image": {"tag": "latest"}}, True),
        ({"image": {"repository": "registry.example.org/helpscout-exporter"}}, False),
        ({"image": {"registry": "registry.example.org"}}, False),
        ({"global": {"imageRegistry": "registry.example.org"}}, False),
        ({"image": {"digest": "sha256:" + "0" * 64}}, False),
    ],
)
def test_the_notes_begin_with_the_image_that_nobody_has_published(
    values: dict[str, Any], is_missing: bool
) -> None:
    notes = render(values).notes
    assert notes.lstrip().startswith("FIRST STEP. The pod cannot start yet") is is_missing
    assert ("docker push" in notes) is is_missing


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"hostNetwork": True, "networkPolicy": {"enabled": True}}, "NetworkPolicy has no effect"),
        (
            {"strategy": {"type": "RollingUpdate"}, "persistence": {"enabled": True}},
            "that the old one holds",
        ),
    ],
)
def test_the_notes_warn_of_what_does_not_go_together(values: dict[str, Any], warning: str) -> None:
    assert warning in " ".join(render(values).notes.split())
    for name in values:
        rest = {key: value for key, value in values.items() if key != name}
        assert "WARNING" not in render(rest).notes


def test_the_notes_warn_of_idle_shards_and_suggest_nothing_that_is_on() -> None:
    idle = render({"existingSecret": "s", "shards": 2}).notes
    assert "more shards than accounts" in idle
    everything = rendered("all-on").notes
    assert "WARNING" not in everything
    assert "--set" not in everything
