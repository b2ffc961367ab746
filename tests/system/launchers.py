"""Prints the user data that dask-cloudprovider's classes make for a worker on each of five clouds, without asking any.

Run by a Python that has dask-cloudprovider and the clouds' SDKs, and not credagent:
`launchers.py SCHEDULER < options.json` prints `{cloud: user data}`.
"""

import asyncio
import json
import sys
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

KEY_BITS = 2048
NOT_ASKED = {"region": "eu-west-1", "ami": "ami-1", "bootstrap": False}
AZURE = {"location": "westeurope", "resource_group": "g", "vnet": "v", "security_group": "s", "subscription_id": "i"}
CLOUDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "EC2": ("aws", "EC2Cluster", NOT_ASKED),
    "Google": ("gcp", "GCPCluster", {"projectid": "p", "scheduler_ngpus": 0, "worker_ngpus": 0, "bootstrap": False}),
    "Azure": ("azure", "AzureVMCluster", {**AZURE, "bootstrap": False}),
    "DigitalOcean": ("digitalocean", "DropletCluster", {}),  # it has no `bootstrap`: it installs Docker each time
    "Hetzner": ("hetzner", "HetznerCluster", {"bootstrap": False}),
}


async def main(scheduler: str) -> None:
    """Render for all, with options from stdin."""
    options = json.load(sys.stdin)
    print(json.dumps({cloud: user_data(cloud, scheduler, options) for cloud in CLOUDS}))


def user_data(cloud: str, scheduler: str, options: dict[str, Any]) -> str:
    """Return what `create_vm` of a worker gives to that cloud's SDK."""
    folder, name, more = CLOUDS[cloud]
    if cloud == "Google":
        more = {**more, "service_account_credentials": nobodys_service_account()}
    kind = getattr(import_module(f"dask_cloudprovider.{folder}"), name)
    cluster = kind(asynchronous=True, security=False, **more, **options)
    if cloud == "Google":  # what its scheduler leaves for its workers, once it has a machine
        where = urlsplit(scheduler)
        cluster.scheduler_internal_ip = cluster.scheduler_external_ip = where.hostname
        cluster.scheduler_port = where.port
    worker = cluster.worker_class(scheduler, **cluster.worker_options)
    return str(cluster.render_process_cloud_init(worker))


def nobodys_service_account() -> dict[str, str]:
    """Return a file of credentials that the SDK can read and nobody takes."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "type": "service_account",
        "client_email": "nobody@p.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
        "private_key": key.private_bytes(*form).decode(),
    }


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
