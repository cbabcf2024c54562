{{/*
A container of visionfleet's in the hub's pods and in its migration. Arguments: root, name, args, env (a list of
variables), and secrets: the keys of the hub's Secret that are variables as well.
*/}}
{{- define "visionfleet.hub-container" -}}
{{- $hub := .root.Values.hub -}}
{{- $env := .env -}}
{{- range .secrets -}}
{{- $env = append $env (dict "name" . "valueFrom" (dict "secretKeyRef" (dict "name" $hub.secretName "key" .))) -}}
{{- end -}}
name: {{ .name }}
image: {{ include "visionfleet.own-image" .root }}
{{- with $hub.extra.command }}
command: {{- toYaml . | nindent 2 }}
{{- end }}
args: {{- toYaml .args | nindent 2 }}
env: {{- concat $env $hub.extra.env | toYaml | nindent 2 }}
securityContext: {{- include "visionfleet.container-security" .root | nindent 2 }}
resources: {{- toYaml $hub.resources | nindent 2 }}
volumeMounts:
  - {name: deployment, mountPath: /deployment}
  - {name: tmp, mountPath: /tmp}
  {{- with $hub.extra.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The container that fetches the deployment's folder, each file checked by its digest. */}}
{{- define "visionfleet.hub-fetch" -}}
{{- $hub := .Values.hub -}}
{{- $env := list -}}
{{- range $name, $value := dict "URL" $hub.storage.url "ENDPOINT" $hub.storage.endpoint "REGION" $hub.storage.region -}}
{{- if $value -}}
{{- $env = append $env (dict "name" (printf "VISIONFLEET_STORAGE_%s" $name) "value" $value) -}}
{{- end -}}
{{- end -}}
{{- range $name, $variable := dict "ACCESS_KEY_ID" $hub.storage.accessKeyIdVariable "SECRET_ACCESS_KEY" $hub.storage.secretAccessKeyVariable -}}
{{- if $variable -}}
{{- $env = append $env (dict "name" (printf "VISIONFLEET_STORAGE_%s" $name) "valueFrom" (dict "secretKeyRef" (dict "name" $hub.secretName "key" $variable))) -}}
{{- end -}}
{{- end -}}
{{- include "visionfleet.hub-container" (dict "root" . "name" "fetch" "args" (list "hub" "fetch" "--digest" .Values.deployment.digest "--to" "/deployment") "env" $env "secrets" list) -}}
{{- end }}

{{- define "visionfleet.hub-volumes" -}}
- {name: deployment, emptyDir: {}}
- {name: tmp, emptyDir: {}}
{{- with .Values.hub.extra.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
