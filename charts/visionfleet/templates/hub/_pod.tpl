{{/* What the hub's pods and its migration share: the folder's fetch, and the environment that its file refers to. */}}
{{- define "visionfleet.hub-fetch" -}}
{{- $storage := .Values.hub.storage -}}
name: fetch
image: {{ include "visionfleet.own-image" . }}
args: [hub, fetch, --digest, {{ .Values.deployment.digest | quote }}, --to, /deployment]
env:
  - {name: VISIONFLEET_STORAGE_URL, value: {{ $storage.url | quote }}}
  {{- with $storage.endpoint }}
  - {name: VISIONFLEET_STORAGE_ENDPOINT, value: {{ . | quote }}}
  {{- end }}
  {{- with $storage.region }}
  - {name: VISIONFLEET_STORAGE_REGION, value: {{ . | quote }}}
  {{- end }}
  {{- range $name, $variable := dict "ACCESS_KEY_ID" $storage.accessKeyIdVariable "SECRET_ACCESS_KEY" $storage.secretAccessKeyVariable }}
  {{- with $variable }}
  - name: VISIONFLEET_STORAGE_{{ $name }}
    valueFrom:
      secretKeyRef: {name: {{ $.Values.hub.secretName }}, key: {{ . }}}
  {{- end }}
  {{- end }}
  {{- with .Values.hub.extra.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
securityContext: {{- include "visionfleet.container-security" . | nindent 2 }}
resources: {{- toYaml .Values.hub.resources | nindent 2 }}
volumeMounts:
  - {name: deployment, mountPath: /deployment}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{/* The environment variables that the file refers to. */}}
{{- define "visionfleet.hub-secrets" -}}
{{- range .Values.hub.secretKeys }}
- name: {{ . }}
  valueFrom:
    secretKeyRef: {name: {{ $.Values.hub.secretName }}, key: {{ . }}}
{{- end }}
{{- end }}

{{- define "visionfleet.hub-volumes" -}}
- {name: deployment, emptyDir: {}}
- {name: tmp, emptyDir: {}}
{{- end }}
