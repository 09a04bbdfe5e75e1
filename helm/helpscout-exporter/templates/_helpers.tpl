{{/* --- names ------------------------------------------------------------------------------- */}}

{{- define "helpscout-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters: a StatefulSet's pods add a hash of ten to a label. */}}
{{- define "helpscout-exporter.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "helpscout-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "helpscout-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "helpscout-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "helpscout-exporter.image" -}}
{{- $registry := default (dig "imageRegistry" "" .Values.global) .Values.image.registry }}
{{- $repository := .Values.image.repository }}
{{- if $registry }}{{ $repository = printf "%s/%s" $registry (trimPrefix "ghcr.io/" $repository) }}{{ end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/*
"true" if nobody has published the image: the chart is not a release's, and the values name no image
of one's own.
*/}}
{{- define "helpscout-exporter.lacksImage" -}}
{{- $own := or .Values.image.registry (dig "imageRegistry" "" .Values.global) .Values.image.digest (ne .Values.image.repository .Chart.Name) }}
{{- if not $own }}true{{ end }}
{{- end }}

{{- define "helpscout-exporter.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range concat (dig "imagePullSecrets" list .Values.global) (default list .Values.imagePullSecrets) }}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- if $secrets -}}
imagePullSecrets:
  {{- toYaml $secrets | nindent 2 }}
{{- end }}
{{- end }}

{{/* --- labels ------------------------------------------------------------------------------ */}}

{{- define "helpscout-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "helpscout-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of the pods of `helm test`, which no other selector may match. */}}
{{- define "helpscout-exporter.testLabels" -}}
app.kubernetes.io/name: {{ include "helpscout-exporter.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object that no selector matches by. */}}
{{- define "helpscout-exporter.otherLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ include "helpscout-exporter.name" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What every object's metadata begins with. Takes: root; name, namespace,
labels, additionalLabels, annotations, own (the template of the labels to be known by). */}}
{{- define "helpscout-exporter.metadata" -}}
{{- $labels := dict }}
{{- $labels = merge $labels (.labels | default dict) (.additionalLabels | default dict) }}
{{- $labels = merge $labels (include (default "helpscout-exporter.selectorLabels" .own) .root | fromYaml) }}
{{- $labels = merge $labels (include "helpscout-exporter.otherLabels" .root | fromYaml) }}
{{- $annotations := merge dict (.annotations | default dict) (.root.Values.commonAnnotations | default dict) -}}
name: {{ default (include "helpscout-exporter.fullname" .root) .name }}
namespace: {{ default (include "helpscout-exporter.namespace" .root) .namespace }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* --- configuration and secrets ----------------------------------------------------------- */}}

{{- define "helpscout-exporter.secretName" -}}
{{- default (include "helpscout-exporter.fullname" .) .Values.existingSecret }}
{{- end }}

{{/*
The accounts as the program gets them: what is not given is a key of the Secret, and so a file.
*/}}
{{- define "helpscout-exporter.accounts" -}}
{{- $keys := .Values.secretKeys }}
{{- $given := dig "accounts" nil (default dict .Values.config) | default (list dict) }}
{{- $accounts := list }}
{{- range $given }}
{{- $account := deepCopy . }}
{{- $folder := "/etc/helpscout-exporter/secrets/" }}
{{- if gt (len $given) 1 }}
{{- $folder = printf "%s%s-" $folder (regexReplaceAll "[^-._a-zA-Z0-9]+" $account.name "-") }}
{{- end }}
{{- if or (eq (default "" $account.api) "v1") $account.api_key_file }}
{{- if not $account.api_key_file }}
{{- $_ := set $account "api_key_file" (print $folder $keys.apiKey) }}
{{- end }}
{{- else }}
{{- if not $account.client_secret_file }}
{{- $_ := set $account "client_secret_file" (print $folder $keys.clientSecret) }}
{{- end }}
{{- if not (or $account.client_id $account.client_id_file) }}
{{- $_ := set $account "client_id_file" (print $folder $keys.clientId) }}
{{- end }}
{{- end }}
{{- $accounts = append $accounts $account }}
{{- end }}
{{- toYaml $accounts }}
{{- end }}

{{/* The keys of the Secret that the accounts' files are: {keys: [{key, index, what}]}. */}}
{{- define "helpscout-exporter.keys" -}}
{{- $keys := list }}
{{- range $index, $account := include "helpscout-exporter.accounts" . | fromYamlArray }}
{{- range $name, $what := dict "client_id_file" "APP_ID" "client_secret_file" "APP_SECRET" "api_key_file" "API_KEY" }}
{{- $file := default "" (get $account $name) }}
{{- if hasPrefix "/etc/helpscout-exporter/secrets/" $file }}
{{- $keys = append $keys (dict "key" (base $file) "what" $what "index" $index) }}
{{- end }}
{{- end }}
{{- end }}
{{- dict "keys" $keys | toYaml }}
{{- end }}

{{/* "true" if the pod needs the Secret: a file of an account is in it, or it is asked for. */}}
{{- define "helpscout-exporter.needsSecret" -}}
{{- $keys := (include "helpscout-exporter.keys" . | fromYaml).keys }}
{{- if or .Values.existingSecret .Values.credentials $keys }}true{{ end }}
{{- end }}

{{/* The program's file. */}}
{{- define "helpscout-exporter.config" -}}
{{- $accounts := include "helpscout-exporter.accounts" . | fromYamlArray }}
{{- merge (dict "accounts" $accounts) (omit (default dict .Values.config) "accounts") | toYaml }}
{{- end }}

{{/* The exporter-toolkit's file, as a mapping; empty where there is none, or a Secret has it. */}}
{{- define "helpscout-exporter.webConfig" -}}
{{- $web := deepCopy .Values.webConfig }}
{{- if and .Values.tls.existingSecret (not .Values.existingWebConfigSecret) }}
{{- $own := dict }}
{{- range $key, $file := dict "cert" "tls.crt" "key" "tls.key" }}
{{- if not (dig "tls_server_config" $key "" $web) }}
{{- $_ := set $own (printf "%s_file" $key) (printf "/etc/helpscout-exporter/tls/%s" $file) }}
{{- end }}
{{- end }}
{{- $web = merge $web (dict "tls_server_config" $own) }}
{{- end }}
{{- toYaml $web }}
{{- end }}

{{- define "helpscout-exporter.webConfigSecretName" -}}
{{- if .Values.existingWebConfigSecret }}
{{- .Values.existingWebConfigSecret }}
{{- else if include "helpscout-exporter.webConfig" . | fromYaml }}
{{- printf "%s-web" (include "helpscout-exporter.fullname" .) }}
{{- end }}
{{- end }}

{{- define "helpscout-exporter.scheme" -}}
{{- if .Values.webScheme }}
{{- .Values.webScheme }}
{{- else if .Values.existingWebConfigSecret }}
{{- empty .Values.tls.existingSecret | ternary "http" "https" }}
{{- else }}
{{- hasKey (include "helpscout-exporter.webConfig" . | fromYaml) "tls_server_config" | ternary "https" "http" }}
{{- end }}
{{- end }}

{{/* "true" if webConfig refuses clients without a certificate, else nothing. */}}
{{- define "helpscout-exporter.wantsClientCertificates" -}}
{{- if eq (dig "tls_server_config" "client_auth_type" "" .Values.webConfig) "RequireAndVerifyClientCert" }}true{{ end }}
{{- end }}

{{- define "helpscout-exporter.probeMode" -}}
{{- if ne .Values.probes.mode "auto" }}
{{- .Values.probes.mode }}
{{- else }}
{{- include "helpscout-exporter.wantsClientCertificates" . | eq "true" | ternary "exec" "http" }}
{{- end }}
{{- end }}

{{/* A mapping that other charts switch by `enabled`: nothing if that is false. */}}
{{- define "helpscout-exporter.switched" -}}
{{- $given := default dict . }}
{{- if dig "enabled" true $given }}
{{- omit $given "enabled" | toYaml }}
{{- end }}
{{- end }}

{{/* A probe; nothing where there is none. Takes: root; name, as in `probes`; path. */}}
{{- define "helpscout-exporter.probe" -}}
{{- $community := printf "%sProbe" .name }}
{{- $own := default dict (get .root.Values.probes .name) }}
{{- $given := default dict (get .root.Values $community) }}
{{- if and (or $own $given) (hasKey .root.Values $community) }}
{{- $probe := mergeOverwrite (deepCopy $own) $given }}
{{- if dig "enabled" true $probe }}
{{- $probe = omit $probe "enabled" }}
{{- if not (or $probe.httpGet $probe.exec $probe.tcpSocket $probe.grpc) }}
{{- if eq (include "helpscout-exporter.probeMode" .root) "exec" }}
{{- $_ := set $probe "exec" (dict "command" (list "helpscout-exporter" "healthcheck")) }}
{{- else }}
{{- $scheme := include "helpscout-exporter.scheme" .root | upper }}
{{- $_ := set $probe "httpGet" (dict "path" .path "port" "metrics" "scheme" $scheme) }}
{{- end }}
{{- end }}
{{ .name }}Probe:
  {{- toYaml $probe | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "helpscout-exporter.telemetryPath" -}}
{{- $path := dig "web" "telemetry_path" "/metrics" (default dict .Values.config) }}
{{- .Values.demo | ternary "/metrics" $path }}
{{- end }}

{{/* --- pods -------------------------------------------------------------------------------- */}}

{{/* What the program needs to know in order to log in. */}}
{{- define "helpscout-exporter.accountEnv" -}}
- name: HELPSCOUT_CONFIG
  value: /etc/helpscout-exporter/config/config.yml
{{- end }}

{{- define "helpscout-exporter.accountMounts" -}}
- name: config
  mountPath: /etc/helpscout-exporter/config
  readOnly: true
{{- if include "helpscout-exporter.needsSecret" . }}
- name: secrets
  mountPath: /etc/helpscout-exporter/secrets
  readOnly: true
{{- end }}
{{- end }}

{{- define "helpscout-exporter.accountVolumes" -}}
- name: config
  configMap:
    name: {{ include "helpscout-exporter.fullname" . }}
{{- if include "helpscout-exporter.needsSecret" . }}
- name: secrets
  secret:
    secretName: {{ include "helpscout-exporter.secretName" . }}
    defaultMode: 0440
{{- end }}
{{- end }}

{{/* `extraEnv` as a container has it; a mapping is a variable a key. A number or boolean becomes a text. */}}
{{- define "helpscout-exporter.extraEnv" -}}
{{- $listed := list }}
{{- if kindIs "map" .Values.extraEnv }}
{{- range $name, $value := .Values.extraEnv }}
{{- if kindIs "map" $value }}
{{- $entry := or (hasKey $value "value") (hasKey $value "valueFrom") | ternary $value (dict "valueFrom" $value) }}
{{- $listed = append $listed (merge (dict "name" $name) $entry) }}
{{- else }}
{{- $listed = append $listed (dict "name" $name "value" $value) }}
{{- end }}
{{- end }}
{{- else }}
{{- $listed = default list .Values.extraEnv | deepCopy }}
{{- end }}
{{- range $listed }}
{{- if and (hasKey . "value") (not (kindIs "string" .value)) }}
{{- $_ := set . "value" (toJson .value) }}
{{- end }}
{{- end }}
{{- toYaml $listed }}
{{- end }}

{{- define "helpscout-exporter.podTemplate" -}}
{{- $web := include "helpscout-exporter.webConfigSecretName" . }}
{{- $labels := merge dict (default dict .Values.podLabels) (include "helpscout-exporter.selectorLabels" . | fromYaml) (include "helpscout-exporter.otherLabels" . | fromYaml) -}}
metadata:
  labels:
    {{- toYaml $labels | nindent 4 }}
  annotations:
    kubectl.kubernetes.io/default-container: exporter
    {{- if not .Values.demo }}
    checksum/config: {{ include "helpscout-exporter.config" . | sha256sum }}
    {{- end }}
    {{- with include "helpscout-exporter.webConfig" . | fromYaml }}
    checksum/web-config: {{ toYaml . | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "helpscout-exporter.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with include "helpscout-exporter.imagePullSecrets" . }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with include "helpscout-exporter.switched" .Values.podSecurityContext | fromYaml }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- if .Values.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- with .Values.dnsPolicy | default (.Values.hostNetwork | ternary "ClusterFirstWithHostNet" "") }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- with .Values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{- toYaml . | nindent 6 }}
      {{- if not (hasKey . "labelSelector") }}
      labelSelector:
        matchLabels:
          {{- include "helpscout-exporter.selectorLabels" $ | nindent 10 }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: exporter
      image: {{ include "helpscout-exporter.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        {{- prepend (default list .Values.extraArgs) (.Values.demo | ternary "demo" "serve") | toYaml | nindent 8 }}
      {{- with include "helpscout-exporter.switched" .Values.securityContext | fromYaml }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        - name: HELPSCOUT_WEB__LISTEN
          value: ":{{ .Values.containerPort }}"
        {{- if $web }}
        - name: HELPSCOUT_WEB__CONFIG_FILE
          value: /etc/helpscout-exporter/web/web.yml
        {{- end }}
        {{- if not .Values.demo }}
        {{- include "helpscout-exporter.accountEnv" . | nindent 8 }}
        - name: HELPSCOUT_STATE_FILE
          value: /var/lib/helpscout-exporter/state.db
        {{- if gt (int .Values.shards) 1 }}
        - name: HELPSCOUT_SHARD__INDEX
          value: auto
        - name: HELPSCOUT_SHARD__TOTAL
          value: {{ .Values.shards | quote }}
        - name: HELPSCOUT_SHARD__BY
          value: {{ .Values.shardBy }}
        {{- end }}
        {{- end }}
        {{- with include "helpscout-exporter.extraEnv" . | fromYamlArray }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: metrics
          containerPort: {{ .Values.containerPort }}
          protocol: TCP
      {{- range $name, $path := dict "startup" "/-/healthy" "liveness" "/-/healthy" "readiness" "/-/ready" }}
      {{- include "helpscout-exporter.probe" (dict "root" $ "name" $name "path" $path) | nindent 6 }}
      {{- end }}
      {{- with .Values.lifecycle }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        {{- if not .Values.demo }}
        {{- include "helpscout-exporter.accountMounts" . | nindent 8 }}
        {{- end }}
        {{- if $web }}
        - name: web
          mountPath: /etc/helpscout-exporter/web
          readOnly: true
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - name: tls
          mountPath: /etc/helpscout-exporter/tls
          readOnly: true
        {{- end }}
        - name: state
          mountPath: /var/lib/helpscout-exporter
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- if not .Values.demo }}
    {{- include "helpscout-exporter.accountVolumes" . | nindent 4 }}
    {{- end }}
    {{- if $web }}
    - name: web
      secret:
        secretName: {{ $web }}
        defaultMode: 0440
        items:
          - key: {{ empty .Values.existingWebConfigSecret | ternary "web.yml" .Values.webConfigSecretKey }}
            path: web.yml
    {{- end }}
    {{- with .Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- if not .Values.persistence.enabled }}
    - name: state
      emptyDir:
        {{- toYaml .Values.persistence.emptyDir | nindent 8 }}
    {{- else if le (int .Values.shards) 1 }}
    - name: state
      persistentVolumeClaim:
        claimName: {{ default (include "helpscout-exporter.fullname" .) .Values.persistence.existingClaim }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* The HTTPRoute's values: `route.main` is the community's place for them. */}}
{{- define "helpscout-exporter.route" -}}
{{- mergeOverwrite (omit (deepCopy .Values.route) "main") .Values.route.main | toYaml }}
{{- end }}

{{/* --- alerts ------------------------------------------------------------------------------ */}}

{{/* The label `job` of the release's targets: of a PodMonitor, by default its namespace and name. */}}
{{- define "helpscout-exporter.job" -}}
{{- $monitor := .Values.podMonitor.enabled | ternary .Values.podMonitor .Values.serviceMonitor }}
{{- if eq $monitor.jobLabel "app.kubernetes.io/name" }}
{{- include "helpscout-exporter.name" . }}
{{- else if eq $monitor.jobLabel "app.kubernetes.io/instance" }}
{{- .Release.Name }}
{{- else if .Values.podMonitor.enabled }}
{{- printf "%s/%s" (default (include "helpscout-exporter.namespace" .) $monitor.namespace) (include "helpscout-exporter.fullname" .) }}
{{- else }}
{{- include "helpscout-exporter.fullname" . }}
{{- end }}
{{- end }}

{{/* The spec of a monitor, its selector apart. Takes: root; monitor, its values; endpoints, their key. */}}
{{- define "helpscout-exporter.monitorSpec" -}}
{{- $root := .root }}
{{- $key := .endpoints }}
{{- $here := include "helpscout-exporter.namespace" $root }}
{{- with .monitor }}
{{- $scheme := default (include "helpscout-exporter.scheme" $root) .scheme }}
{{- $tlsConfig := .tlsConfig }}
{{- /* A monitor can name Secrets of its own namespace only. */}}
{{- if and (eq $scheme "https") (not $tlsConfig) $root.Values.tls.existingSecret (eq (default $here .namespace) $here) }}
{{- $tlsConfig = dict
      "ca" (dict "secret" (dict "name" $root.Values.tls.existingSecret "key" "ca.crt"))
      "serverName" (printf "%s.%s.svc" (include "helpscout-exporter.fullname" $root) $here) }}
{{- end }}
{{- with .jobLabel }}
jobLabel: {{ . }}
{{- end }}
namespaceSelector:
  matchNames:
    - {{ $here }}
{{- with .targetLabels }}
targetLabels:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .podTargetLabels }}
podTargetLabels:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .sampleLimit }}
sampleLimit: {{ int . }}
{{- end }}
{{- with .extraSpec }}
{{ toYaml . }}
{{- end }}
{{ $key }}:
  - port: metrics
    path: {{ include "helpscout-exporter.telemetryPath" $root }}
    scheme: {{ $scheme }}
    {{- with .interval }}
    interval: {{ . }}
    {{- end }}
    {{- with .scrapeTimeout }}
    scrapeTimeout: {{ . }}
    {{- end }}
    honorLabels: {{ .honorLabels }}
    {{- range $name, $value := dict "tlsConfig" $tlsConfig "basicAuth" .basicAuth "authorization" .authorization "relabelings" .relabelings "metricRelabelings" .metricRelabelings }}
    {{- with $value }}
    {{ $name }}:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
    {{- with .extraEndpoint }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- end }}

{{/* Which alerts give way to which: the table in docs/alerting.md. */}}
{{- define "helpscout-exporter.giveWay" -}}
HelpscoutExporterDown:
  - HelpscoutShardsMissing
  - HelpscoutAccountGone
HelpscoutShardsMissing:
  - HelpscoutShardsMismatched
  - HelpscoutAccountGone
HelpscoutExporterAbsent:
  - HelpscoutAccountGone
HelpscoutAccountRefused:
  - HelpscoutAccountDown
  - HelpscoutCollectorDown
  - HelpscoutBrownOut
  - HelpscoutUnreachable
  - HelpscoutBadResponse
  - HelpscoutAccountThrottled
  - HelpscoutScheduleLagging
  - HelpscoutReportStale
  - HelpscoutReportNeverSucceeded
  - HelpscoutSegmentUnresolved
HelpscoutAccountDown:
  - HelpscoutCollectorDown
  - HelpscoutBrownOut
  - HelpscoutUnreachable
  - HelpscoutBadResponse
  - HelpscoutAccountThrottled
  - HelpscoutScheduleLagging
  - HelpscoutReportStale
  - HelpscoutReportNeverSucceeded
  - HelpscoutSegmentUnresolved
HelpscoutCollectorDown:
  - HelpscoutBrownOut
  - HelpscoutUnreachable
  - HelpscoutBadResponse
  - HelpscoutReportStale
  - HelpscoutReportNeverSucceeded
HelpscoutReportStale:
  - HelpscoutBrownOut
  - HelpscoutUnreachable
  - HelpscoutBadResponse
HelpscoutReportNeverSucceeded:
  - HelpscoutBrownOut
  - HelpscoutUnreachable
  - HelpscoutBadResponse
HelpscoutBrownOut:
  - HelpscoutUnreachable
  - HelpscoutBadResponse
HelpscoutAccountThrottled:
  - HelpscoutThrottledOften
  - HelpscoutScheduleLagging
  - HelpscoutCollectorDown
  - HelpscoutReportStale
  - HelpscoutReportNeverSucceeded
HelpscoutSlaMissed:
  - HelpscoutSlaAtRisk
HelpscoutCustomersWaitBeyondTarget:
  - HelpscoutCustomersWaitNearTarget
  - HelpscoutNobodyReplies
  - HelpscoutQueueGrows
HelpscoutNobodyReplies:
  - HelpscoutQueueGrows
{{- end }}

{{/* A duration of Prometheus in milliseconds. */}}
{{- define "helpscout-exporter.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000 "y" 31536000000 }}
{{- $total := 0 }}
{{- range regexFindAll "[0-9]+(ms|[smhdwy])" . -1 }}
{{- $number := regexFind "^[0-9]+" . }}
{{- $total = add $total (mul (int64 $number) (get $units (trimPrefix $number .))) }}
{{- end }}
{{- $total }}
{{- end }}

{{- define "helpscout-exporter.claimSpec" -}}
accessModes:
  {{- toYaml .accessModes | nindent 2 }}
resources:
  requests:
    storage: {{ .size }}
{{- if eq .storageClass "-" }}
storageClassName: ""
{{- else if .storageClass }}
storageClassName: {{ .storageClass }}
{{- end }}
{{- with .selector }}
selector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* --- what the schema cannot say ---------------------------------------------------------- */}}

{{/*
Names that other charts have for what this one calls otherwise: each is refused with the right one, or
where there is none, with the reason (after a hyphen).
values.schema.json lists them, so that it is this message that is seen.
*/}}
{{- define "helpscout-exporter.otherNames" -}}
accounts: config.accounts
additionalAnnotations: commonAnnotations
additionalLabels: commonLabels
alerts: prometheusRule.alerts
args: extraArgs
auth: credentials or existingSecret
automountServiceAccountToken: "-the exporter needs no rights in the cluster"
autoscaling: shards
command: extraArgs
compare: config.compare
config.shard: shards and shardBy
config.state_file: "-the chart sets it itself; persistence says on which volume the file is"
config.web.config_file: webConfig or existingWebConfigSecret
config.web.listen: containerPort and service.port
configMap: config
configmapReload: "-a changed configuration is a new pod"
configmaps: extraVolumes and extraVolumeMounts
configReload: "-a changed configuration is a new pod"
configReloader: "-a changed configuration is a new pod"
containerPorts: containerPort
containerSecurityContext: securityContext
customAnnotations: commonAnnotations
customLabels: commonLabels
defaultRules: prometheusRule
deployment: annotations or commonLabels
deploymentAnnotations: annotations
deploymentLabels: commonLabels
deploymentStrategy: strategy
env: extraEnv
envFrom: extraEnvFrom
existingConfigMap: config
existingSecretName: existingSecret
extraConfigmapMounts: extraVolumes and extraVolumeMounts
extraDeploy: extraManifests
extraEnvs: extraEnv
extraInitContainers: initContainers
extraLabels: commonLabels
extraObjects: extraManifests
extraSecretMounts: extraVolumes and extraVolumeMounts
extraVolumesMounts: extraVolumeMounts
folders: config.folders
grafana: dashboards
grafanaDashboard: dashboards
grafanaDashboards: dashboards
happiness: config.happiness
hpa: shards
httpRoute: route
httproute: route
image.imagePullSecrets: imagePullSecrets
image.name: image.repository
image.pullSecrets: imagePullSecrets
image.sha: image.digest
imagePullPolicy: image.pullPolicy
imagePullSecret: imagePullSecrets
ingress.host: ingress.hosts
ingress.hostname: ingress.hosts
ingress.ingressClassName: ingress.className
ingress.path: ingress.hosts[].paths[].path
ingress.pathType: ingress.hosts[].paths[].pathType
kind: shards
kubeRBACProxy: webConfig
labels: commonLabels
lifecycleHooks: lifecycle
log: config.log
logLevel: config.log.level
mailboxes: config.mailboxes
metrics: serviceMonitor
monitor: serviceMonitor
networkPolicy.allowExternal: networkPolicy.ingressFrom
networkPolicy.allowMonitoringNamespace: networkPolicy.ingressFrom
networkPolicy.egress: networkPolicy.extraEgress
networkPolicy.ingress: networkPolicy.ingressFrom or networkPolicy.extraIngress
networkPolicy.monitoringNamespaceName: networkPolicy.ingressFrom
office_hours: config.office_hours
options: extraArgs
pdb: podDisruptionBudget
persistence.accessMode: persistence.accessModes
persistence.storageClassName: persistence.storageClass
persistentVolume: persistence
pod: podAnnotations or podLabels
podAffinityPreset: affinity
podDisruptionBudget.create: podDisruptionBudget.enabled
podManagementPolicy: "-all shards start at once"
podMonitor.additionalMetricsRelabels: podMonitor.metricRelabelings
podMonitor.additionalRelabeling: podMonitor.relabelings
podMonitor.attachMetadata: podMonitor.extraSpec.attachMetadata
podMonitor.bearerTokenFile: podMonitor.authorization
podMonitor.bearerTokenSecret: podMonitor.authorization
podMonitor.create: podMonitor.enabled
podMonitor.enableHttp2: podMonitor.extraEndpoint.enableHttp2
podMonitor.extraLabels: podMonitor.labels
podMonitor.followRedirects: podMonitor.extraEndpoint.followRedirects
podMonitor.honorTimestamps: podMonitor.extraEndpoint.honorTimestamps
podMonitor.labelLimit: podMonitor.extraSpec.labelLimit
podMonitor.labelNameLengthLimit: podMonitor.extraSpec.labelNameLengthLimit
podMonitor.labelValueLengthLimit: podMonitor.extraSpec.labelValueLengthLimit
podMonitor.metricRelabelConfigs: podMonitor.metricRelabelings
podMonitor.params: podMonitor.extraEndpoint.params
podMonitor.path: config.web.telemetry_path
podMonitor.proxyUrl: podMonitor.extraEndpoint.proxyUrl
podMonitor.relabelConfigs: podMonitor.relabelings
podMonitor.scrapeClass: podMonitor.extraSpec.scrapeClass
podMonitor.scrapeInterval: podMonitor.interval
podMonitor.selectorOverride: podMonitor.labels
podMonitor.targetLimit: podMonitor.extraSpec.targetLimit
podMonitor.telemetryPath: config.web.telemetry_path
podPriorityClassName: priorityClassName
podSecurityPolicy: "-the exporter needs no rights in the cluster"
port: service.port
productivity: config.productivity
prometheus: serviceMonitor, podMonitor or prometheusRule
prometheusRule.additionalPrometheusRules: prometheusRule.additionalGroups
prometheusRule.additionalRules: prometheusRule.additionalGroups
prometheusRule.create: prometheusRule.enabled
prometheusRule.extraLabels: prometheusRule.labels
prometheusRule.groups: prometheusRule.additionalGroups
prometheusRule.rules: prometheusRule.additionalGroups
prometheusRules: prometheusRule
rbac: "-the exporter needs no rights in the cluster"
replicaCount: shards
replicas: shards
resourcesPreset: resources
secret: credentials or existingSecret
secretConfig: config
secretMounts: extraVolumes and extraVolumeMounts
secretName: existingSecret
secretRef: existingSecret
secrets: credentials or existingSecret
segments: config.segments
service.enabled: "-there is always a Service"
service.externalPort: service.port
service.headless: service.clusterIP
service.internalPort: containerPort
service.ipDualStack: service.ipFamilyPolicy and service.ipFamilies
service.nodePorts: service.nodePort
service.portName: "-the port is called metrics"
service.ports: service.port
service.servicePort: service.port
service.targetPort: containerPort
serviceAccount.automountServiceAccountToken: "-the exporter needs no rights in the cluster"
serviceAccount.imagePullSecrets: imagePullSecrets
serviceAccount.labels: commonLabels
serviceMonitor.additionalMetricsRelabels: serviceMonitor.metricRelabelings
serviceMonitor.additionalRelabeling: serviceMonitor.relabelings
serviceMonitor.additionalRelabelings: serviceMonitor.relabelings
serviceMonitor.attachMetadata: serviceMonitor.extraSpec.attachMetadata
serviceMonitor.bearerTokenFile: serviceMonitor.authorization
serviceMonitor.bearerTokenSecret: serviceMonitor.authorization
serviceMonitor.create: serviceMonitor.enabled
serviceMonitor.enableHttp2: serviceMonitor.extraEndpoint.enableHttp2
serviceMonitor.extraLabels: serviceMonitor.labels
serviceMonitor.followRedirects: serviceMonitor.extraEndpoint.followRedirects
serviceMonitor.honorTimestamps: serviceMonitor.extraEndpoint.honorTimestamps
serviceMonitor.labelLimit: serviceMonitor.extraSpec.labelLimit
serviceMonitor.labelNameLengthLimit: serviceMonitor.extraSpec.labelNameLengthLimit
serviceMonitor.labelValueLengthLimit: serviceMonitor.extraSpec.labelValueLengthLimit
serviceMonitor.metricRelabelConfigs: serviceMonitor.metricRelabelings
serviceMonitor.params: serviceMonitor.extraEndpoint.params
serviceMonitor.path: config.web.telemetry_path
serviceMonitor.proxyUrl: serviceMonitor.extraEndpoint.proxyUrl
serviceMonitor.relabelConfigs: serviceMonitor.relabelings
serviceMonitor.scrapeClass: serviceMonitor.extraSpec.scrapeClass
serviceMonitor.scrapeInterval: serviceMonitor.interval
serviceMonitor.selector: serviceMonitor.labels
serviceMonitor.selectorOverride: serviceMonitor.labels
serviceMonitor.targetLimit: serviceMonitor.extraSpec.targetLimit
serviceMonitor.targetPort: containerPort
serviceMonitor.telemetryPath: config.web.telemetry_path
serviceMonitor.timeout: serviceMonitor.scrapeTimeout
sidecars: extraContainers
sidecarVolumeMount: extraContainers
sla: config.sla
testFramework: helmTest
tests: helmTest
types: config.types
verticalPodAutoscaler: resources
volumeMounts: extraVolumeMounts
volumes: extraVolumes
vpa: resources
waiting: config.waiting
web: config.web or webConfig
webConfiguration: webConfig
windows: config.windows
{{- end }}

{{- define "helpscout-exporter.refuseOtherNames" -}}
{{- range $name, $right := include "helpscout-exporter.otherNames" . | fromYaml }}
{{- $parts := splitList "." $name }}
{{- $values := $.Values }}
{{- range initial $parts }}
{{- $values = default dict (get $values .) }}
{{- end }}
{{- if hasKey $values (last $parts) }}
{{- if hasPrefix "-" $right }}
{{- fail (printf "%s: not a value of this chart: %s" $name (trimPrefix "-" $right)) }}
{{- end }}
{{- fail (printf "%s: not a value of this chart: use %s" $name $right) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "helpscout-exporter.validate" -}}
{{- include "helpscout-exporter.refuseOtherNames" . }}
{{- $accounts := dig "accounts" nil (default dict .Values.config) | default list }}
{{- $names := list }}
{{- $prefixes := list }}
{{- range $index, $account := $accounts }}
{{- range $key := list "client_secret" "api_key" }}
{{- if hasKey $account $key }}
{{- fail (printf "config.accounts[%d].%s: config becomes a ConfigMap, which must not hold a secret: put it into a Secret, and the Secret's name into existingSecret" $index $key) }}
{{- end }}
{{- end }}
{{- if contains "@" (default "" $account.proxy_url) }}
{{- fail (printf "config.accounts[%d].proxy_url: config becomes a ConfigMap, which must not hold a password: put the URL into a Secret that you mount, and its path into proxy_url_file" $index) }}
{{- end }}
{{- if and (gt (len $accounts) 1) (not $account.name) }}
{{- fail (printf "config.accounts[%d].name: missing: with several accounts, each needs a name" $index) }}
{{- end }}
{{- if has $account.name $names }}
{{- fail (printf "config.accounts[%d].name: %q is listed twice: give each account a name of its own" $index $account.name) }}
{{- end }}
{{- $names = append $names $account.name }}
{{- $prefix := regexReplaceAll "[^-._a-zA-Z0-9]+" (default "" $account.name) "-" }}
{{- if has $prefix $prefixes }}
{{- fail (printf "config.accounts[%d].name: %q and another account would have the same keys in the Secret, those that begin with %s-: rename one of the two" $index $account.name $prefix) }}
{{- end }}
{{- $prefixes = append $prefixes $prefix }}
{{- end }}
{{- if and .Values.credentials .Values.existingSecret }}
{{- fail "existingSecret: credentials is set as well: remove one of the two" }}
{{- end }}
{{- if .Values.credentials }}
{{- $given := keys .Values.credentials | sortAlpha }}
{{- range (include "helpscout-exporter.keys" . | fromYaml).keys }}
{{- if not (has .key $given) }}
{{- $or := eq .what "APP_ID" | ternary (printf ", or set config.accounts[%v].client_id" .index) "" }}
{{- fail (printf "credentials: the key %q is missing, found only %s: add it%s" .key (join ", " $given) $or) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $user, $hash := .Values.webConfig.basic_auth_users }}
{{- if not (regexMatch "^\\$2[aby]\\$[0-9]{2}\\$.{53}$" $hash) }}
{{- fail (printf "webConfig.basic_auth_users.%s: not a bcrypt hash, such as `htpasswd -nB %s` makes of a password" $user $user) }}
{{- end }}
{{- end }}
{{- if and .Values.webConfig .Values.existingWebConfigSecret }}
{{- fail "existingWebConfigSecret: webConfig is set as well: remove one of the two" }}
{{- end }}
{{- if and .Values.demo (gt (int .Values.shards) 1) }}
{{- fail "shards: demo runs in one pod: set shards to 1, or demo to false" }}
{{- end }}
{{- if and .Values.persistence.existingClaim (gt (int .Values.shards) 1) }}
{{- fail "persistence.existingClaim: several shards cannot share a claim: remove it, and each shard gets one of its own" }}
{{- end }}
{{- range $name := list "serviceMonitor" "podMonitor" }}
{{- $monitor := get $.Values $name }}
{{- $certificate := or $monitor.tlsConfig.cert $monitor.tlsConfig.certFile }}
{{- if and $monitor.enabled (include "helpscout-exporter.wantsClientCertificates" $) (not $certificate) }}
{{- fail (printf "%s.tlsConfig: webConfig requires client certificates: set cert and keySecret, which name Prometheus's own" $name) }}
{{- end }}
{{- if and $monitor.enabled $.Values.webConfig.basic_auth_users (not $monitor.basicAuth) (not $monitor.authorization) }}
{{- fail (printf "%s.basicAuth: webConfig.basic_auth_users asks for a password: name the Secret that holds Prometheus's (username and password)" $name) }}
{{- end }}
{{- end }}
{{- range $name := list "startup" "liveness" "readiness" }}
{{- range $where, $probe := dict (printf "probes.%s" $name) (get $.Values.probes $name) (printf "%sProbe" $name) (get $.Values (printf "%sProbe" $name)) }}
{{- $port := dig "httpGet" "port" (dig "tcpSocket" "port" "metrics" (default dict $probe)) (default dict $probe) }}
{{- if and (kindIs "string" $port) (ne $port "metrics") }}
{{- fail (printf "%s: the container has no port %q: use metrics" $where $port) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "podMonitor.enabled: serviceMonitor.enabled is true as well, so that every pod would be scraped twice: set one of the two to false" }}
{{- end }}
{{- with .Values.strategy }}
{{- if and .rollingUpdate (ne .type "RollingUpdate") }}
{{- fail (printf "strategy.rollingUpdate: strategy.type is %s: set it to RollingUpdate, or remove rollingUpdate" .type) }}
{{- end }}
{{- end }}
{{- $route := include "helpscout-exporter.route" . | fromYaml }}
{{- if and $route.enabled (not $route.parentRefs) }}
{{- fail "route.parentRefs: missing: name the Gateway, such as [{name: public, namespace: gateways}]" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.hosts: missing: name at least one host, such as [helpscout.example.org]" }}
{{- end }}
{{- if .Values.alertmanagerConfig.enabled }}
{{- range $component := list "support" "exporter" }}
{{- if not (get $.Values.alertmanagerConfig $component).receiver }}
{{- fail (printf "alertmanagerConfig.%s.receiver: missing: name a receiver, such as {slackConfigs: [...]}" $component) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
