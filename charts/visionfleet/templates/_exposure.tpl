{{/*
An Ingress or a route of a Gateway to Services. Arguments: root, exposure, name, labels, maxUploadMb, seconds (the longest
answer), and backends: a list of service, port and weight, and namespace where it is not the release's.
*/}}
{{- define "visionfleet.exposure" -}}
{{- $name := .name -}}
{{- with .exposure.ingress }}
{{- if .enabled }}
{{- $backend := first $.backends }}
{{- $limits := dict "proxy-body-size" (printf "%dm" (int $.maxUploadMb)) "proxy-read-timeout" (toString (max 60 (int $.seconds))) }}
{{- $annotations := deepCopy .annotations }}
{{- range $limit, $value := $limits }}
{{- $annotations = merge $annotations (dict (printf "nginx.ingress.kubernetes.io/%s" $limit) $value) }}
{{- end }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ $name }}
  namespace: {{ $.root.Release.Namespace }}
  labels: {{- $.labels | nindent 4 }}
  annotations: {{- toYaml $annotations | nindent 4 }}
spec:
  {{- with .className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- if .tlsSecret }}
  tls:
    - secretName: {{ .tlsSecret }}
      hosts: [{{ .host }}]
  {{- end }}
  rules:
    - host: {{ .host }}
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service: {name: {{ $backend.ingress | default $backend.service }}, port: {number: {{ $backend.port }}}}
{{- end }}
{{- end }}
{{- with .exposure.gateway }}
{{- if .enabled }}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {{ $name }}
  namespace: {{ $.root.Release.Namespace }}
  labels: {{- $.labels | nindent 4 }}
spec:
  parentRefs: {{- toYaml .parentRefs | nindent 4 }}
  hostnames: [{{ .host }}]
  rules:
    - matches:
        - path: {type: PathPrefix, value: /}
      timeouts: {request: {{ max 60 (int $.seconds) }}s}
      backendRefs:
        {{- range $.backends }}
        - name: {{ .service }}
          {{- with .namespace }}
          namespace: {{ . }}
          {{- end }}
          port: {{ .port }}
          weight: {{ .weight }}
        {{- end }}
{{- end }}
{{- end }}
{{- end }}
