// Holds the definitions of the Kubernetes APIs by which the tests check manifests: no Go code of these modules is built.
module visionfleet/engines/crds

go 1.26.5

require (
	github.com/argoproj/argo-cd/v3 v3.5.4
	github.com/aws/karpenter-provider-aws v1.14.0
	github.com/fluxcd/helm-controller v1.6.4
	github.com/fluxcd/kustomize-controller v1.9.6
	github.com/fluxcd/source-controller v1.9.3
	github.com/kedacore/http-add-on v0.12.0
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.2
	sigs.k8s.io/kueue v0.17.0
)
