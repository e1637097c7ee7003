{{- define "cherche.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "cherche.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cherche.labels" -}}
{{ include "cherche.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "cherche.check" -}}
{{- if .Values.insecure }}
{{- if or .Values.secretName .Values.tlsSecretName }}{{ fail "insecure is true and Secrets are named: set insecure to false, or drop secretName and tlsSecretName" }}{{ end }}
{{- else if not (and .Values.secretName .Values.tlsSecretName) }}
{{- fail "a sidecar that others reach needs TLS and a token: name Secrets in tlsSecretName and secretName (keys token and page-token-key), or set insecure to true where the network is closed" }}
{{- end }}
{{- end }}
