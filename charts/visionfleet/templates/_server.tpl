{{/* The variables of an inference server: its environment, over what it needs in a pod. Arguments: root, server. */}}
{{- define "visionfleet.server-env" -}}
{{- $root := .root -}}
{{- $server := .server -}}
{{- $port := int $root.Values.serving.port -}}
{{- $own := dict "HOST" "0.0.0.0" "PORT" (toString $port) "HOME" "/tmp" "MPLCONFIGDIR" "/tmp/matplotlib" "MODEL_CACHE_DIR" "/cache" "ENABLE_PROMETHEUS" "True" -}}
{{- with $root.Values.deployment.workspace -}}
{{- /* without it the server answers everybody in the name of its own key */ -}}
{{- $own = set $own "DEDICATED_DEPLOYMENT_WORKSPACE_URL" . -}}
{{- end -}}
{{- $hub := include "visionfleet.hub-url" $root -}}
{{- if $hub -}}
{{- $own = merge (dict "API_BASE_URL" $hub "ROBOFLOW_API_HOST" $hub) $own -}}
{{- end -}}
{{- with $server.models -}}
{{- $own = merge (dict "PRELOAD_MODELS" (join "," .) "MAX_ACTIVE_MODELS" (toString (max 8 (len .)))) $own -}}
{{- end -}}
{{- range $name, $value := merge (deepCopy $server.environment) $own }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- with $root.Values.serving.key }}
- name: ROBOFLOW_API_KEY
  valueFrom:
    secretKeyRef: {name: {{ .name }}, key: {{ .key }}}
{{- end }}
{{- with $server.extra.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
The container of an inference server. Arguments: root, server (with all its values), and image where another than the
server's own runs.
*/}}
{{- define "visionfleet.server" -}}
{{- $root := .root -}}
{{- $server := .server -}}
name: server
image: {{ include "visionfleet.image" (.image | default $server.image) }}
{{- with $server.extra.command }}
command: {{- toYaml . | nindent 2 }}
{{- end }}
env: {{- include "visionfleet.server-env" (dict "root" $root "server" $server) | trim | nindent 2 }}
ports:
  - {name: http, containerPort: {{ $root.Values.serving.port }}}
# it says 503 until each model was tried once
startupProbe:
  httpGet: {path: /readiness, port: http}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ max 1 (div (int $server.startSeconds) 2) }}
# Probes take turns with requests: a busy server answers late, and were it taken out, the others would be busier
readinessProbe:
  httpGet: {path: /readiness, port: http}
  periodSeconds: 5
  timeoutSeconds: 10
  failureThreshold: 6
# for two minutes no answer, or that CUDA has broken down, which nothing but a new start mends
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 20
  timeoutSeconds: 15
  failureThreshold: 6
securityContext: {{- include "visionfleet.container-security" $root | nindent 2 }}
resources: {{- include "visionfleet.server-resources" $server | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: cache, mountPath: /cache}
{{- with $server.extra.volumeMounts }}
{{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What runs before a server that is to load models: it waits for a hub that has them. Arguments: as of the server. */}}
{{- define "visionfleet.wait" -}}
name: wait-for-models
image: {{ include "visionfleet.image" (.image | default .server.image) }}
command:
  - python3
  - -c
  - |
    {{- .root.Files.Get "files/wait_for_models.py" | nindent 4 }}
env: {{- include "visionfleet.server-env" (dict "root" .root "server" .server) | trim | nindent 2 }}
securityContext: {{- include "visionfleet.container-security" .root | nindent 2 }}
resources:
  requests: {cpu: 10m, memory: 32Mi}
  limits: {memory: 128Mi}
{{- with .server.extra.volumeMounts }}
volumeMounts: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Requests and limits, GPUs among them: of these a container gets what its limit says. */}}
{{- define "visionfleet.server-resources" -}}
{{- $limits := deepCopy .resources.limits -}}
{{- if gt (int .gpu.count) 0 -}}
{{- $limits = set $limits "nvidia.com/gpu" (toString .gpu.count) -}}
{{- end -}}
requests: {{- toYaml .resources.requests | nindent 2 }}
limits: {{- toYaml $limits | nindent 2 }}
{{- end }}

{{/* The volumes of a server's pod. Arguments: server, claim (the name of the chart's own). */}}
{{- define "visionfleet.server-volumes" -}}
- {name: tmp, emptyDir: {}}
- name: cache
{{- if eq .server.cache.kind "none" }}
  emptyDir: {sizeLimit: {{ .server.cache.size }}}
{{- else }}
  persistentVolumeClaim: {claimName: {{ .server.cache.existingClaim | default .claim }}}
{{- end }}
{{- with .server.extra.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
The claim of a model cache, and its volume where it is a folder of each node. Arguments: root, server, name, labels.

Pods may not mount a folder of their node under `restricted`. A volume of the cluster may lead to one: it is the folder
of whichever node the pod runs on.
*/}}
{{- define "visionfleet.cache" -}}
{{- $cache := .server.cache -}}
{{- if and (ne $cache.kind "none") (not $cache.existingClaim) }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- .labels | nindent 4 }}
spec:
  accessModes: [{{ $cache.accessMode }}]
  {{- if eq $cache.kind "node" }}
  storageClassName: ""
  volumeName: {{ .root.Release.Namespace }}-{{ .name }}
  {{- else if $cache.storageClass }}
  storageClassName: {{ $cache.storageClass }}
  {{- end }}
  resources:
    requests: {storage: {{ $cache.size }}}
{{- if eq $cache.kind "node" }}
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: {{ .root.Release.Namespace }}-{{ .name }}
  labels: {{- .labels | nindent 4 }}
spec:
  accessModes: [{{ $cache.accessMode }}]
  capacity: {storage: {{ $cache.size }}}
  storageClassName: ""
  persistentVolumeReclaimPolicy: Retain
  claimRef: {name: {{ .name }}, namespace: {{ .root.Release.Namespace }}}
  hostPath: {path: {{ $cache.path }}, type: Directory}
{{- end }}
{{- end }}
{{- end }}
