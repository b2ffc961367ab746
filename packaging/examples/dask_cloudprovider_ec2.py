"""A cluster of EC2 machines by dask-cloudprovider, each with an agent; credentials are forwarded from this laptop.

Needs dask-cloudprovider[aws], an AWS account, and a machine image that has Docker and credagent (or `install=`).
"""

import credagent


def options() -> dict[str, object]:
    """Return what goes into user data: the machines trust whoever AWS says that you are. Nothing of it is secret."""
    return credagent.cloudprovider_options(audience="lab")


def main() -> None:
    """Start two workers, and read private data on them."""
    from dask.distributed import Client
    from dask_cloudprovider.aws import EC2Cluster

    with (
        EC2Cluster(n_workers=2, bootstrap=False, security=True, **options()) as cluster,
        Client(cluster) as client,
        credagent.forward_credentials(client),  # the cluster's own TLS vouches for the machines' keys
    ):
        print(client.submit(first_line, "my-bucket", "private.csv").result())


def first_line(bucket: str, key: str) -> str:
    """Read as on the laptop: nothing here knows of credagent."""
    import boto3

    return str(next(boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].iter_lines()).decode())


if __name__ == "__main__":
    main()
