{{/* Names, and what several templates have in common. */}}

{{- define "authz.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{- define "authz.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "authz.labels" -}}
{{ include "authz.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "authz.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{/* Of every pod: the profile "restricted" of the Pod Security Standards. */}}
{{- define "authz.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- end }}

{{/* Of every container. Nothing is written to any disk. */}}
{{- define "authz.container" -}}
image: {{ include "authz.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{/* The files of the policy by their paths in the folder; as JSON. A key of a ConfigMap has no slash. */}}
{{- define "authz.policyFiles" -}}
{{- $files := dict }}
{{- range $path, $bytes := .Files.Glob "files/policy/**" }}
{{- $_ := set $files (trimPrefix "files/policy/" $path) (toString $bytes) }}
{{- end }}
{{- toJson $files }}
{{- end }}

{{- define "authz.policyData" -}}
{{- range $path, $text := include "authz.policyFiles" . | fromJson }}
{{ $path | replace "/" "__" }}: {{ toJson $text }}
{{- end }}
{{- end }}

{{/* The volume of the policy folder. Takes a list: the context, and the name of the chart's own ConfigMap. */}}
{{- define "authz.policyVolume" -}}
{{- $context := index . 0 }}
{{- $policy := $context.Values.policy }}
- name: policy
  projected:
    sources:
      {{- if $policy.configMap }}
      - configMap: { name: {{ $policy.configMap }} }
      {{- if $policy.cases.configMap }}
      - configMap:
          name: {{ $policy.cases.configMap }}
          items:
            {{- range $policy.cases.keys }}
            - { key: {{ . }}, path: cases/{{ . }} }
            {{- end }}
      {{- end }}
      {{- else }}
      - configMap:
          name: {{ index . 1 }}
          items:
            {{- range $path, $_ := include "authz.policyFiles" $context | fromJson }}
            - { key: {{ $path | replace "/" "__" }}, path: {{ $path }} }
            {{- end }}
      {{- end }}
{{- end }}

{{/* The volume of secrets, each a file by the name of its setting. */}}
{{- define "authz.secretsVolume" -}}
- name: secrets
  projected:
    # Octal 0440, for the group of the pod.
    defaultMode: 288
    sources:
      {{- range $setting, $reference := . }}
      - secret:
          name: {{ $reference.name }}
          items: [{ key: {{ $reference.key }}, path: {{ $setting }} }]
      {{- end }}
{{- end }}
