// Holds the definitions of Karpenter's APIs, by which the tests check the manifests: no Go code of it is built.
module visionfleet/engines/karpenter

go 1.26.5

require github.com/aws/karpenter-provider-aws v1.14.0
