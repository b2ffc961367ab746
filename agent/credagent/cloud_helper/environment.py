"""The helper's environment: the agent's own, proxies kept off metadata, and the user's identity off the machine's.

Pure; it starts nothing and reads no environment itself.
"""

from collections.abc import Mapping

from credagent.worker_environment.handover_variables import PAST_PROXIES

NEVER_PROXIED = (*PAST_PROXIES, "169.254.170.2", "169.254.170.23", "fd00:ec2::23", "[fd00:ec2::23]")
"""A proxy that answered for these would hand out its own machine's identity, or learn ours."""

ADDRESSES_NEVER_PROXIED = (
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "GCE_METADATA_HOST",
    "GCE_METADATA_ROOT",
    "GCE_METADATA_IP",
)
"""Variables that put metadata elsewhere: that place is not proxied either."""

NOT_THE_MACHINES = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_CREDENTIAL_FILE",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_DATA_PATH",
        "BOTO_CONFIG",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "CLOUDSDK_CONFIG",
        "CLOUDSDK_AUTH_ACCESS_TOKEN",
        "GOOGLE_OAUTH_ACCESS_TOKEN",
    }
)
"""What names a user's identity. The machine's own is what its cloud says it is, whoever runs the agent."""


def helper_environment(environ: Mapping[str, str], *, local: bool) -> dict[str, str]:
    """Return the environment for a helper; `local` keeps the user's own identity in it."""
    kept = {name: value for name, value in environ.items() if not name.startswith(("CREDAGENT_", "PYTHON"))}
    if not local:
        kept = {name: value for name, value in kept.items() if name not in NOT_THE_MACHINES}
        kept["AWS_CONFIG_FILE"] = kept["AWS_SHARED_CREDENTIALS_FILE"] = "/dev/null"
    else:
        kept.setdefault("GCE_METADATA_TIMEOUT", "1")  # a laptop has no metadata server, and google-auth would take
        kept.setdefault("GCE_METADATA_DETECT_RETRIES", "1")  # 12 s to believe it
    kept["AWS_EC2_METADATA_V1_DISABLED"] = "true"
    kept["NO_PROXY"] = kept["no_proxy"] = _no_proxy(environ)
    return kept


def _no_proxy(environ: Mapping[str, str]) -> str:
    asked = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    names = [name.strip() for name in asked.split(",") if name.strip()]
    if "*" in names:
        return "*"  # means everything only when it stands alone
    elsewhere = [_host(environ[name]) for name in ADDRESSES_NEVER_PROXIED if environ.get(name)]
    return ",".join(dict.fromkeys([*names, *NEVER_PROXIED, *filter(None, elsewhere)]))


def _host(address: str) -> str:
    from urllib.parse import urlsplit

    try:
        return urlsplit(address if "://" in address else f"//{address}").hostname or ""
    except ValueError:
        return ""
