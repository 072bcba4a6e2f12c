"""AWS: `observe` reads what carries the cloud's tag, `apply` does one step, `Aws` holds both."""

from pileus.underlay.aws.account import Aws
from pileus.underlay.aws.client import AwsEndpoint

__all__ = ["Aws", "AwsEndpoint"]
