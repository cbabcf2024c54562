"""One component a module: a part of the deployment that is created, changed and destroyed as one.

`pulumi_aws` loads its services when they are first used. So components name them as `aws.ec2.Vpc` in function bodies,
and never import from `pulumi_aws.ec2`: that is most of a second, wherever the program is imported.
"""
