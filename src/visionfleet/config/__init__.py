"""The typed file: `load` reads it into a frozen `DeploymentConfig`, or raises with every problem at once."""

from visionfleet.config.deployment import DeploymentConfig
from visionfleet.config.errors import ConfigError, Problem
from visionfleet.config.load import load
from visionfleet.config.models import Model
from visionfleet.config.secrets import AwsSecretRef, SecretRef, SecretUnavailable

__all__ = [
    "AwsSecretRef",
    "ConfigError",
    "DeploymentConfig",
    "Model",
    "Problem",
    "SecretRef",
    "SecretUnavailable",
    "load",
]
