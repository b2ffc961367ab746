"""This instance as firmware and metadata service tell it: its id, and the cloud's time. No credential is asked for."""

import os
import re
from collections.abc import Mapping

from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.http import metadata_client
from credagent.cloud_helper.http.metadata_client import MetadataSilent
from credagent.cloud_helper.machine_vendor import maker
from credagent.operations.doctor.facts import MachineFacts

ASSET_TAG = "/sys/class/dmi/id/board_asset_tag"  # of a Nitro instance: its id
CLOUD_INIT_ID = "/var/lib/cloud/data/instance-id"
INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")
SHORT_TEXT_BYTES = 256
WAIT_S = 0.8
AWS, GOOGLE = "http://169.254.169.254", "http://metadata.google.internal"


def machine_facts(environ: Mapping[str, str], region: str) -> MachineFacts:
    """Return what is known of this machine; the service is asked for its time alone, without a token."""
    named = environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").rstrip("/")
    google = maker() == "google" and not named
    address = GOOGLE if google else named or AWS
    off = environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true" and not google
    return MachineFacts(
        instance_id=_instance_id(),
        region=region or environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", ""),
        metadata_address=address,
        skew_s=None if off or not (named or maker()) else _skew_s(address),
    )


def _instance_id() -> str:
    for path in (ASSET_TAG, CLOUD_INIT_ID):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                text = file.read(SHORT_TEXT_BYTES).strip()
        except OSError:
            continue
        if INSTANCE_ID.fullmatch(text):
            return text
    return ""


def _skew_s(address: str) -> float | None:
    """Return the service's clock minus ours, None where it does not answer; a refusal has its time too."""
    try:
        place = metadata_client.place_of(address)
        return metadata_client.ask(place, "/", connect_s=WAIT_S, wait_s=WAIT_S, max_bytes=64 * 1024).skew_s
    except (MetadataSilent, CloudFailure, OSError):
        return None


def agents_environment(pid: int) -> dict[str, str]:
    """Return where the agent's environment points the SDKs, else this process's: addresses and switches only."""
    wanted = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_DISABLED", "AWS_REGION", "AWS_DEFAULT_REGION")
    found = {name: os.environ[name] for name in wanted if name in os.environ}
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read(1024 * 1024).decode("utf-8", "replace").split("\0")
    except OSError:
        return found  # only root sees it
    given = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    return {name: given[name] for name in wanted if name in given}
