{{/*
An Ingress or a route of a Gateway to Services. Arguments: root, exposure, name, labels, maxUploadMb, port, and
backends: a list of service and weight.
*/}}
{{- define "visionfleet.exposure" -}}
{{- $name := .name -}}
{{- $port := .port -}}
{{- with .exposure.ingress }}
{{- if .enabled }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {{ $name }}
  namespace: {{ $.root.Release.Namespace }}
  labels: {{- $.labels | nindent 4 }}
  annotations: {{- merge (deepCopy .annotations) (dict "nginx.ingress.kubernetes.io/proxy-body-size" (printf "%dm" (int $.maxUploadMb))) | toYaml | nindent 4 }}
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
              service: {name: {{ (first $.backends).service }}, port: {number: {{ $port }}}}
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
      backendRefs:
        {{- range $.backends }}
        - {name: {{ .service }}, port: {{ $port }}, weight: {{ .weight }}}
        {{- end }}
{{- end }}
{{- end }}
{{- end }}
