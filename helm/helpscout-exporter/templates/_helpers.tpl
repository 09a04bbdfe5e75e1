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
{{- if $registry }}{{ $repository = printf "%s/%s" $registry $repository }}{{ end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "helpscout-exporter.imagePullSecrets" -}}
{{- $secrets := list }}
{{- range concat (dig "imagePullSecrets" list .Values.global) .Values.imagePullSecrets }}
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
labels, annotations, own (the template of the labels to be known by). */}}
{{- define "helpscout-exporter.metadata" -}}
{{- $labels := dict }}
{{- $labels = merge $labels (.labels | default dict) }}
{{- $labels = merge $labels (include (default "helpscout-exporter.selectorLabels" .own) .root | fromYaml) }}
{{- $labels = merge $labels (include "helpscout-exporter.otherLabels" .root | fromYaml) }}
{{- $annotations := merge dict (.annotations | default dict) .root.Values.commonAnnotations -}}
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
The accounts as the program gets them, and for each whose App ID is in the Secret the key that has
it: {accounts: [...], clientIds: [{index, key}]}.
*/}}
{{- define "helpscout-exporter.accounts" -}}
{{- $keys := .Values.secretKeys }}
{{- $given := default (list dict) .Values.config.accounts }}
{{- $accounts := list }}
{{- $ids := list }}
{{- range $index, $entry := $given }}
{{- $account := deepCopy $entry }}
{{- $prefix := "" }}
{{- if gt (len $given) 1 }}
{{- $prefix = printf "%s-" (regexReplaceAll "[^-._a-zA-Z0-9]+" $account.name "-") }}
{{- end }}
{{- if or (eq (default "" $account.api) "v1") $account.api_key_file }}
{{- if not $account.api_key_file }}
{{- $_ := set $account "api_key_file" (printf "/etc/helpscout-exporter/secrets/%s%s" $prefix $keys.apiKey) }}
{{- end }}
{{- else }}
{{- if not $account.client_secret_file }}
{{- $_ := set $account "client_secret_file" (printf "/etc/helpscout-exporter/secrets/%s%s" $prefix $keys.clientSecret) }}
{{- end }}
{{- if not $account.client_id }}
{{- $ids = append $ids (dict "index" $index "key" (printf "%s%s" $prefix $keys.clientId)) }}
{{- end }}
{{- end }}
{{- $accounts = append $accounts $account }}
{{- end }}
{{- dict "accounts" $accounts "clientIds" $ids | toYaml }}
{{- end }}

{{/* "true" if the pod needs the Secret: an account's file or App ID is in it, or it is asked for. */}}
{{- define "helpscout-exporter.needsSecret" -}}
{{- $found := include "helpscout-exporter.accounts" . | fromYaml }}
{{- $needed := or .Values.existingSecret .Values.credentials $found.clientIds | empty | not }}
{{- range $found.accounts }}
{{- $file := default "" (default .client_secret_file .api_key_file) }}
{{- $needed = or $needed (hasPrefix "/etc/helpscout-exporter/secrets/" $file) }}
{{- end }}
{{- if $needed }}true{{ end }}
{{- end }}

{{/* The program's file. */}}
{{- define "helpscout-exporter.config" -}}
{{- $accounts := (include "helpscout-exporter.accounts" . | fromYaml).accounts }}
{{- merge (dict "accounts" $accounts) (omit .Values.config "accounts") | toYaml }}
{{- end }}

{{/* The exporter-toolkit's file, as a mapping; empty where there is none, or a Secret has it. */}}
{{- define "helpscout-exporter.webConfig" -}}
{{- $web := deepCopy .Values.webConfig }}
{{- if and .Values.tls.existingSecret (not .Values.existingWebConfigSecret) }}
{{- $own := dict "cert_file" "/etc/helpscout-exporter/tls/tls.crt" "key_file" "/etc/helpscout-exporter/tls/tls.key" }}
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

{{- define "helpscout-exporter.probe" -}}
{{- if eq (include "helpscout-exporter.probeMode" .root) "exec" -}}
exec:
  command: [helpscout-exporter, healthcheck]
{{- else -}}
httpGet:
  path: {{ .path }}
  port: metrics
  scheme: {{ include "helpscout-exporter.scheme" .root | upper }}
{{- end }}
{{ toYaml .timing }}
{{- end }}

{{- define "helpscout-exporter.telemetryPath" -}}
{{- $path := dig "web" "telemetry_path" "/metrics" .Values.config }}
{{- .Values.demo | ternary "/metrics" $path }}
{{- end }}

{{/* --- pods -------------------------------------------------------------------------------- */}}

{{/* What the program needs to know in order to log in. */}}
{{- define "helpscout-exporter.accountEnv" -}}
- name: HELPSCOUT_CONFIG
  value: /etc/helpscout-exporter/config/config.yml
{{- range (include "helpscout-exporter.accounts" . | fromYaml).clientIds }}
- name: HELPSCOUT_ACCOUNTS__{{ .index }}__CLIENT_ID
  valueFrom:
    secretKeyRef:
      name: {{ include "helpscout-exporter.secretName" $ }}
      key: {{ .key }}
{{- end }}
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

{{- define "helpscout-exporter.podTemplate" -}}
{{- $web := include "helpscout-exporter.webConfigSecretName" . }}
{{- $labels := merge dict .Values.podLabels (include "helpscout-exporter.selectorLabels" . | fromYaml) (include "helpscout-exporter.otherLabels" . | fromYaml) -}}
metadata:
  labels:
    {{- toYaml $labels | nindent 4 }}
  annotations:
    kubectl.kubernetes.io/default-container: exporter
    {{- if not .Values.demo }}
    checksum/config: {{ include "helpscout-exporter.config" . | sha256sum }}
    {{- /* A secret's file is read when it is needed. An App ID is a variable, read at the start. */}}
    {{- if .Values.credentials }}
    {{- $ids := dict }}
    {{- range (include "helpscout-exporter.accounts" . | fromYaml).clientIds }}
    {{- $_ := set $ids .key (get $.Values.credentials .key) }}
    {{- end }}
    checksum/client-ids: {{ toYaml $ids | sha256sum }}
    {{- end }}
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
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with .Values.dnsPolicy }}
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
      args: [{{ .Values.demo | ternary "demo" "serve" }}]
      {{- with .Values.securityContext }}
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
        {{- with .Values.extraEnv }}
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
      {{- with .Values.probes.liveness }}
      livenessProbe:
        {{- include "helpscout-exporter.probe" (dict "root" $ "path" "/-/healthy" "timing" .) | nindent 8 }}
      {{- end }}
      {{- with .Values.probes.readiness }}
      readinessProbe:
        {{- include "helpscout-exporter.probe" (dict "root" $ "path" "/-/ready" "timing" .) | nindent 8 }}
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

{{/* --- alerts ------------------------------------------------------------------------------ */}}

{{/* The label `job` of the release's targets. */}}
{{- define "helpscout-exporter.job" -}}
{{- if eq .Values.serviceMonitor.jobLabel "app.kubernetes.io/name" }}
{{- include "helpscout-exporter.name" . }}
{{- else if eq .Values.serviceMonitor.jobLabel "app.kubernetes.io/instance" }}
{{- .Release.Name }}
{{- else }}
{{- include "helpscout-exporter.fullname" . }}
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
HelpscoutSlaMissed:
  - HelpscoutSlaAtRisk
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

{{- define "helpscout-exporter.validate" -}}
{{- $accounts := default list .Values.config.accounts }}
{{- $names := list }}
{{- $prefixes := list }}
{{- range $index, $account := $accounts }}
{{- if and (gt (len $accounts) 1) (not $account.name) }}
{{- fail (printf "config.accounts[%d].name: is missing: with several accounts each needs one" $index) }}
{{- end }}
{{- if has $account.name $names }}
{{- fail (printf "config.accounts[%d].name: %q is there twice" $index $account.name) }}
{{- end }}
{{- $names = append $names $account.name }}
{{- $prefix := regexReplaceAll "[^-._a-zA-Z0-9]+" (default "" $account.name) "-" }}
{{- if has $prefix $prefixes }}
{{- fail (printf "config.accounts[%d].name: %q would have the keys of another account" $index $account.name) }}
{{- end }}
{{- $prefixes = append $prefixes $prefix }}
{{- end }}
{{- if and .Values.credentials .Values.existingSecret }}
{{- fail "existingSecret: credentials is set, too: keep one of them" }}
{{- end }}
{{- if .Values.credentials }}
{{- range (include "helpscout-exporter.accounts" . | fromYaml).clientIds }}
{{- if not (hasKey $.Values.credentials .key) }}
{{- fail (printf "credentials: %q is missing: give it, or config.accounts[%v].client_id" .key .index) }}
{{- end }}
{{- end }}
{{- range (include "helpscout-exporter.accounts" . | fromYaml).accounts }}
{{- $file := default "" (default .client_secret_file .api_key_file) }}
{{- if and (hasPrefix "/etc/helpscout-exporter/secrets/" $file) (not (hasKey $.Values.credentials (base $file))) }}
{{- fail (printf "credentials: %q is missing" (base $file)) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.webConfig .Values.existingWebConfigSecret }}
{{- fail "existingWebConfigSecret: webConfig is set, too: keep one of them" }}
{{- end }}
{{- if and .Values.demo (gt (int .Values.shards) 1) }}
{{- fail "demo: has one pod: set shards to 1" }}
{{- end }}
{{- if and .Values.demo (eq (include "helpscout-exporter.probeMode" .) "exec") }}
{{- fail "demo: cannot be probed by exec: set probes.mode to http, or require no client certificates" }}
{{- end }}
{{- if and .Values.persistence.existingClaim (gt (int .Values.shards) 1) }}
{{- fail "persistence.existingClaim: is for one pod: shards make their own claims" }}
{{- end }}
{{- $certificate := or .Values.serviceMonitor.tlsConfig.cert .Values.serviceMonitor.tlsConfig.certFile }}
{{- if and .Values.serviceMonitor.enabled (include "helpscout-exporter.wantsClientCertificates" .) (not $certificate) }}
{{- fail "serviceMonitor.tlsConfig: cert and keySecret are missing: webConfig requires client certificates" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.webConfig.basic_auth_users (not .Values.serviceMonitor.basicAuth) (not .Values.serviceMonitor.authorization) }}
{{- fail "serviceMonitor.basicAuth: is missing: webConfig.basic_auth_users asks for a password" }}
{{- end }}
{{- if .Values.alertmanagerConfig.enabled }}
{{- range $component := list "support" "exporter" }}
{{- if not (get $.Values.alertmanagerConfig $component).receiver }}
{{- fail (printf "alertmanagerConfig.%s.receiver: is missing: say who is told, such as with slackConfigs" $component) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
