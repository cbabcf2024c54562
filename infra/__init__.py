"""The Pulumi program of the AWS parts: `pulumi up` in the project's root runs it."""
