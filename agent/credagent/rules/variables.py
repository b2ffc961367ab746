"""Which custom variables a bundle may bring. Pure: names in, names out; values are never looked at.

A sender is trusted with credentials, not with what runs on the machine: a variable that makes a loader, an interpreter,
a shell or a client library take code, configuration or identity from elsewhere is denied.
"""

import re
from collections.abc import Iterable

from credagent.rules.handovers import HANDOVER_VARIABLES

_LISTED = """
    LD_* GLIBC_TUNABLES MALLOC_* GCONV_PATH LOCPATH NLSPATH HOSTALIASES RES_OPTIONS LOCALDOMAIN
    PATH HOME USER LOGNAME SHELL TMP TEMP TMPDIR XDG_* ENV BASH* SHELLOPTS IFS PS4 CDPATH PROMPT_COMMAND ZDOTDIR
    PYTHON* VIRTUAL_ENV CONDA_* PIP_* UV_* IPYTHONDIR JUPYTER_* PERL* RUBY* GEM_* NODE_* NPM_CONFIG_*
    JAVA_* _JAVA_OPTIONS JDK_* CLASSPATH R_* JULIA_* LUA_* GIT_* SSH_* EDITOR VISUAL PAGER LESS*
    OPENSSL_* SSL_* SSLKEYLOGFILE CURL_* REQUESTS_CA_BUNDLE *_PROXY
    AWS_* BOTO_CONFIG GOOGLE_* GCE_* GCLOUD_* CLOUDSDK_* CPL_*
    GDAL_DRIVER_PATH GDAL_PYTHON_DRIVER_PATH GDAL_HTTP_* NO_GCE_CHECK STORAGE_EMULATOR_HOST
    KUBE* DOCKER_* DASK_* CREDAGENT_* NOTIFY_SOCKET LISTEN_* WATCHDOG_* CREDENTIALS_DIRECTORY *_DIRECTORY
"""
DENY_LIST = tuple(_LISTED.split())
"""Names, or beginnings and ends of names, in capitals. Names are compared without regard to case."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_EXACT = frozenset(entry for entry in DENY_LIST if "*" not in entry)
_BEGINNINGS = tuple(entry.removesuffix("*") for entry in DENY_LIST if entry.endswith("*"))
_ENDS = tuple(entry.removeprefix("*") for entry in DENY_LIST if entry.startswith("*"))
_OF_HANDOVERS = frozenset(name.upper() for name in HANDOVER_VARIABLES)


def malformed(names: Iterable[str]) -> list[str]:
    """Return those that are no names of variables, in the order given."""
    return [name for name in names if _NAME.fullmatch(name) is None]


def denied(names: Iterable[str], allow: Iterable[str]) -> list[str]:
    """Return those that a bundle may not bring to a machine whose configuration has `allow`, in the order given.

    What a handover writes or scrubs is denied whatever `allow` says: it would bring a second identity beside the first.
    """
    allowed = {name.upper() for name in allow}
    return [name for name in names if _is_denied(name.upper(), allowed)]


def _is_denied(name: str, allowed: set[str]) -> bool:
    if name in _OF_HANDOVERS:
        return True
    listed = name in _EXACT or name.startswith(_BEGINNINGS) or name.endswith(_ENDS)
    return listed and name not in allowed
