"""The names of the variables that each handover writes and scrubs: the one list. Values are in `rendering`.

Scrub, then set: what a client library would read before, or mix with, what is handed over is removed once, before the
first task. A slot that is neither filled nor closed to falling back is not handed over, and nothing of it is touched.
"""

from collections.abc import Mapping

from msgspec import Struct

ACCESS_KEY_ID = "AWS_ACCESS_KEY_ID"
SECRET_ACCESS_KEY = "AWS_SECRET_ACCESS_KEY"  # noqa: S105  the name of a variable
SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105  the name of a variable
CREDENTIAL_EXPIRATION = "AWS_CREDENTIAL_EXPIRATION"

AWS_KEYS = (ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN, CREDENTIAL_EXPIRATION)
AWS_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")  # boto3 and s3fs read the second only, others either

NOBODY = "127.0.0.1:1"  # an address where only root could listen

# Each variable keeps other clients from the instance's role; no client heeds all of them. The first stops botocore and
# the AWS SDKs; the second (an address where nobody answers) the object_store family; the third GDAL.
AWS_METADATA_CLOSED: Mapping[str, str] = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_METADATA_ENDPOINT": f"http://{NOBODY}",
    "CPL_AWS_EC2_API_ROOT_URL": f"http://{NOBODY}",
}
# With interception, a client that does not know the endpoint (GDAL 3.6) gets what was granted at the real address: the
# variable is given its default again, also in a process that started while it named nobody.
AWS_METADATA_INTERCEPTED: Mapping[str, str] = {"CPL_AWS_EC2_API_ROOT_URL": "http://169.254.169.254"}
# Where no endpoint of ours answers, clients that know container credentials and none of the three above (minio-go) are
# given an address where nobody does. Its path is what a person finds in their error.
AWS_CLOSED: Mapping[str, str] = {
    **AWS_METADATA_CLOSED,
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{NOBODY}/credagent-holds-no-credentials-for-this-slot",
}

PAST_PROXIES = (
    "localhost",
    "127.0.0.1",
    "::1",
    "[::1]",  # urllib compares what stands in the URL
    "169.254.169.254",
    "fd00:ec2::254",
    "[fd00:ec2::254]",
    "fd20:ce::254",  # Google's
    "[fd20:ce::254]",
    "metadata.google.internal",
)
"""Hosts that a worker with a handover over loopback never asks through a proxy.

A proxy would get the endpoint's token, and would answer for its own loopback or its own machine's metadata.
"""
NO_PROXY_VARIABLES = ("NO_PROXY", "no_proxy")

GOOGLE_CLOSED: Mapping[str, str] = {"NO_GCE_CHECK": "true"}


class HandoverVariables(Struct, frozen=True, kw_only=True):
    """The names of the variables that a handover may write, and of those that it scrubs before it does."""

    writes: frozenset[str] = frozenset()
    scrubs: frozenset[str] = frozenset()


# Other sources that a client would ask before the one that is handed over, or whose values it would mix with it.
_OTHER_AWS_SOURCES = frozenset(
    {
        "AWS_ACCESS_KEY",  # older names of the keys, which some SDKs still read
        "AWS_SECRET_KEY",
        "AWS_TOKEN",  # object_store's other name of the session token
        "AWS_SECURITY_TOKEN",  # wins over AWS_SESSION_TOKEN in botocore: a stale one breaks every request
        "AWS_ACCOUNT_ID",  # botocore reads it together with the keys, and would address another account
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CREDENTIAL_FILE",
        "BOTO_CONFIG",
    }
)

_CONTAINER = frozenset(
    {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    }
)

# The file of ~/.aws is asked before the endpoint by half of the clients, and there is no variable to remove: its place
# is given to an empty file. AWS_CONFIG_FILE is left alone, since it holds settings that users rely on.
NO_CREDENTIAL_FILES: Mapping[str, str] = {
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "CPL_AWS_CREDENTIALS_FILE": "/dev/null",
}

AWS_ENVIRONMENT = HandoverVariables(
    writes=frozenset({*AWS_KEYS, *AWS_REGIONS, *AWS_CLOSED}),
    scrubs=_OTHER_AWS_SOURCES | _CONTAINER,
)

AWS_ENDPOINT = HandoverVariables(
    writes=frozenset({*_CONTAINER, *AWS_REGIONS, *NO_CREDENTIAL_FILES, *AWS_CLOSED}),
    # Keys in the environment win over the endpoint in every client, and would never be renewed.
    scrubs=_OTHER_AWS_SOURCES | frozenset(AWS_KEYS),
)

GOOGLE_METADATA = HandoverVariables(
    writes=frozenset(
        {
            "GCE_METADATA_HOST",
            "GCE_METADATA_IP",
            "GCE_METADATA_ROOT",
            "GCE_METADATA_MTLS_MODE",
            "CPL_MACHINE_IS_GCE",
            "CPL_GCE_CREDENTIALS_URL",
            "GOOGLE_CLOUD_PROJECT",
            # Where Google's C++ library looks for gcloud's own credentials, which would win over metadata. In other
            # libraries only CLOUDSDK_CONFIG moves them, and moving them would break gcloud itself in tasks.
            "GOOGLE_GCLOUD_ADC_PATH_OVERRIDE",
            *GOOGLE_CLOSED,
        }
    ),
    scrubs=frozenset(
        {
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_SERVICE_ACCOUNT",  # object_store's names of a key file, and of a key
            "GOOGLE_SERVICE_ACCOUNT_PATH",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            "CLOUDSDK_CONFIG",
            "NO_GCE_CHECK",
        }
    ),
)

OFF = HandoverVariables()

AWS_HANDOVERS: Mapping[str, HandoverVariables] = {"environment": AWS_ENVIRONMENT, "endpoint": AWS_ENDPOINT, "off": OFF}
GOOGLE_HANDOVERS: Mapping[str, HandoverVariables] = {"metadata": GOOGLE_METADATA, "off": OFF}

HANDOVER_VARIABLES: frozenset[str] = frozenset().union(
    NO_PROXY_VARIABLES,
    *(handover.writes | handover.scrubs for handover in (*AWS_HANDOVERS.values(), *GOOGLE_HANDOVERS.values())),
)
"""Every variable that some handover writes or scrubs. A custom variable may be none of them, whatever `allow` says."""
