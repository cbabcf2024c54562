"""ARNs in the account and region of a resource that is there, so that nothing has to be looked up for them."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi


@dataclass(frozen=True, slots=True)
class Scope:
    """Partition, region and account of a resource."""

    partition: pulumi.Output[str]
    region: pulumi.Output[str]
    account_id: pulumi.Output[str]

    @classmethod
    def of(cls, arn: pulumi.Output[str]) -> Scope:
        """The scope of a resource with a region, by its ARN: arn:<partition>:<service>:<region>:<account>:…"""
        part = arn.apply(lambda text: text.split(":"))
        return cls(part.apply(lambda p: p[1]), part.apply(lambda p: p[3]), part.apply(lambda p: p[4]))

    def account(self, service: str, resource: str) -> pulumi.Output[str]:
        """A resource of the account, in the region."""
        return self._arn(service, self.region, self.account_id, resource)

    def public(self, service: str, resource: str) -> pulumi.Output[str]:
        """A resource of the region that belongs to no account in ARNs, such as an image."""
        return self._arn(service, self.region, "", resource)

    def everywhere(self, service: str, resource: str) -> pulumi.Output[str]:
        """A resource of the account, of a service without regions."""
        return self._arn(service, "", self.account_id, resource)

    def _arn(
        self, service: str, region: pulumi.Input[str], account: pulumi.Input[str], resource: str
    ) -> pulumi.Output[str]:
        return pulumi.Output.concat("arn:", self.partition, ":", service, ":", region, ":", account, ":", resource)
