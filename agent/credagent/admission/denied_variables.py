"""Which custom variables a bundle may bring. Pure: names in, names out; values are never looked at.

A sender is trusted with credentials, not with what runs on the machine: a variable that makes a loader, an interpreter,
a shell or a client library take code, configuration or identity from elsewhere is denied.
"""

import re
from collections.abc import Iterable

from credagent.worker_environment.handover_variables import HANDOVER_VARIABLES

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
# What data workers load besides: plug-ins (HDF5, GDAL, Hadoop, ODBC, MySQL, Kerberos, CUDA, MPI), caches of code and
# compilers that numba, Triton, PyTorch, CuPy and JAX run; and what gives fsspec, object_store or GDAL another endpoint
# or identity.
_OF_DATA_LIBRARIES = """
    HDF5_PLUGIN_* HDF5_VOL_CONNECTOR GDAL_CONFIG_FILE GDAL_VRT_* OGR_DRIVER_PATH OGR_SQLITE_LOAD_EXTENSIONS
    ARROW_LIBHDFS_DIR HADOOP_* SPARK_* NUMBA_* TRITON_* TORCHINDUCTOR_* TORCH_EXTENSIONS_DIR CUDA_HOME CUDA_PATH
    CUDA_INJECTION64_PATH OCL_ICD_* OMP_TOOL_LIBRARIES PJRT_* NCCL_NET_PLUGIN UCX_MODULE_DIR CC CXX CFLAGS CXXFLAGS
    LDFLAGS LDSHARED MAKEFLAGS ODBC* KRB5_* SASL_PATH GSS_MECH_CONFIG BROWSER MANPAGER MPLBACKEND MPLCONFIGDIR
    COVERAGE_PROCESS_START DYLD_* FSSPEC_* SERVICE_ACCOUNT* GS_* NETRC GRPC_DEFAULT_SSL_ROOTS_FILE_PATH
    HTTPLIB2_CA_CERTS DBUS_* GIO_* QT_* GST_* MAGICK_* ITK_AUTOLOAD_PATH OMPI_*
    PMIX_MCA_* PRTE_MCA_* FI_PROVIDER_PATH LIBMYSQL_PLUGIN* CUPY_* JAX_COMPILATION_CACHE_DIR
"""
DENY_LIST = tuple((_LISTED + _OF_DATA_LIBRARIES).split())
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
