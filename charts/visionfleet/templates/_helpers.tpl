{{/* The full name of the release's objects. */}}
{{- define "visionfleet.name" -}}
{{- .Values.nameOverride | default .Release.Name -}}
{{- end }}

{{/* Labels of every object. Arguments: root, component. */}}
{{- define "visionfleet.labels" -}}
{{ include "visionfleet.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: {{ .root.Values.deployment.name }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels of pods: none that another version of the chart would change, since that would replace them. */}}
{{- define "visionfleet.pod-labels" -}}
{{ include "visionfleet.selector" . }}
app.kubernetes.io/part-of: {{ .root.Values.deployment.name }}
{{- end }}

{{/* What selectors look for; it never changes. Arguments: root, component, and pool and track where there are such. */}}
{{- define "visionfleet.selector" -}}
app.kubernetes.io/name: visionfleet
app.kubernetes.io/instance: {{ include "visionfleet.name" .root }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
visionfleet.io/pool: {{ . }}
{{- end }}
{{- with .track }}
visionfleet.io/track: {{ . }}
{{- end }}
{{- end }}

{{/* What is pulled: by digest, else by tag. */}}
{{- define "visionfleet.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end }}

{{- define "visionfleet.own-image" -}}
{{- $image := .Values.image -}}
{{- include "visionfleet.image" (dict "repository" $image.repository "digest" $image.digest "tag" ($image.tag | default .Chart.AppVersion)) -}}
{{- end }}

{{/* A pool of serving as its entry has it, over what entries have where they say nothing. Arguments: root, pool. */}}
{{- define "visionfleet.pool" -}}
{{- $defaults := (.root.Files.Get "files/defaults.yaml" | fromYaml).pool -}}
{{- mergeOverwrite (deepCopy $defaults) .pool | toJson -}}
{{- end }}

{{/* A worker's template, likewise. Arguments: root, template. */}}
{{- define "visionfleet.template" -}}
{{- $defaults := (.root.Files.Get "files/defaults.yaml" | fromYaml).template -}}
{{- mergeOverwrite (deepCopy $defaults) .template | toJson -}}
{{- end }}

{{/*
What every pod has: Pod Security `restricted`, and where it runs. Arguments: root, placement, gpu (none for pods without
one). The user is that of our own image, and the inference server runs as any.
*/}}
{{- define "visionfleet.pod" -}}
# the addresses of Services have names here; as variables they could be taken for settings
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- include "visionfleet.placement" . }}
{{- end }}

{{- define "visionfleet.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "visionfleet.placement" -}}
{{- $labels := .placement.nodeSelector -}}
{{- $tolerations := .placement.tolerations -}}
{{- if and .gpu (gt (int .gpu.count) 0) -}}
{{- $tolerations = append $tolerations (dict "key" "nvidia.com/gpu" "operator" "Exists" "effect" "NoSchedule") -}}
{{- if .gpu.product -}}
{{- $labels = merge (dict "nvidia.com/gpu.product" .gpu.product) $labels -}}
{{- end -}}
{{- end -}}
{{- with $labels }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .placement.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .placement.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Replicas on several nodes and in several zones, where there are such. Its argument is the selector, as YAML. */}}
{{- define "visionfleet.spread" -}}
topologySpreadConstraints:
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash] # of one version: those that are about to go do not count
    labelSelector:
      matchLabels: {{- $ | nindent 8 }}
{{- end }}
{{- end }}

{{/* How the cluster's pods reach the hub, or the hub that is elsewhere. */}}
{{- define "visionfleet.hub-url" -}}
{{- if .Values.hub.enabled -}}
http://{{ include "visionfleet.name" . }}-hub:{{ .Values.hub.port }}
{{- else -}}
{{ .Values.hub.url }}
{{- end -}}
{{- end }}

{{/* The port of a URL, which is its argument. */}}
{{- define "visionfleet.port" -}}
{{- (urlParse .).host | regexFind ":[0-9]+$" | trimPrefix ":" | default (ternary "80" "443" (hasPrefix "http:" .)) -}}
{{- end }}

{{- define "visionfleet.hub-account" -}}
{{- .Values.hub.serviceAccount.name | default (printf "%s-hub" (include "visionfleet.name" .)) -}}
{{- end }}

{{- define "visionfleet.migration-account" -}}
{{- include "visionfleet.hub-account" . }}-migration
{{- end }}

{{- define "visionfleet.worker-account" -}}
{{- .Values.worker.serviceAccount.name | default (printf "%s-worker" (include "visionfleet.name" .)) -}}
{{- end }}
