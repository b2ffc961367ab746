"""Which custom variables a bundle may bring: their names, their number of bytes. Pure; values are never looked at.

A sender is trusted with credentials, not with what runs on the machine. A variable that makes a loader, an interpreter,
a shell or a client library take code, configuration or identity from elsewhere is denied: by name where it is known,
and by the shape that such names share, since nobody knows all of them. FORMAT.md, section 7, has the same list.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from credagent.worker_environment.handover_variables import HANDOVER_VARIABLES

MAX_NAME_CHARACTERS = 256
MAX_VALUE_BYTES = 32 * 1024
MAX_ALL_BYTES = 96 * 1024
"""Names and values together. A worker reads a set of at most 1 MiB, with every name again where it is withdrawn."""

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
# What data workers load besides: plug-ins (HDF5, GDAL, Hadoop, ODBC, MySQL, Kerberos, CUDA, MPI, Vulkan, ROOT), modules
# by name (Zarr, Keras, Django), caches of code, and compilers that numba, Triton, PyTorch, CuPy and JAX run; and what
# gives fsspec, object_store or GDAL another endpoint or identity.
_OF_DATA_LIBRARIES = """
    HDF5_PLUGIN_* HDF5_VOL_CONNECTOR GDAL_CONFIG_FILE GDAL_VRT_* OGR_DRIVER_PATH OGR_SQLITE_LOAD_EXTENSIONS
    ARROW_LIBHDFS_DIR HADOOP_* SPARK_* NUMBA_* TRITON_* TORCHINDUCTOR_* TORCH_EXTENSIONS_DIR CUDA_HOME CUDA_PATH
    CUDA_INJECTION64_PATH OCL_ICD_* OMP_TOOL_LIBRARIES PJRT_* NCCL_NET_PLUGIN UCX_MODULE_DIR CC CXX CFLAGS CXXFLAGS
    LDFLAGS LDSHARED MAKEFLAGS ODBC* KRB5_* SASL_PATH GSS_MECH_CONFIG BROWSER MANPAGER MPLBACKEND MPLCONFIGDIR
    COVERAGE_PROCESS_START DYLD_* FSSPEC_* SERVICE_ACCOUNT* GS_* NETRC GRPC_DEFAULT_SSL_ROOTS_FILE_PATH
    HTTPLIB2_CA_CERTS DBUS_* GIO_* QT_* GST_* MAGICK_* ITK_AUTOLOAD_PATH OMPI_*
    PMIX_MCA_* PRTE_MCA_* FI_PROVIDER_PATH LIBMYSQL_PLUGIN* CUPY_* JAX_COMPILATION_CACHE_DIR
    PGSERVICEFILE PGSYSCONFDIR PGSSLROOTCERT TNS_ADMIN ORACLE_HOME FREETDS* TDSDUMP* LDAPCONF LDAPTLS_*
    AZURE_AUTHORITY_HOST X509_* KRB5CCNAME RESOLV_* OTEL_PYTHON_* KERAS_BACKEND NETWORKX_* ZARR_* INTAKE_* PYSPARK_*
    DJANGO_SETTINGS_MODULE FLASK_APP CELERY_CONFIG_MODULE SETUPTOOLS_* DISTUTILS_* TORCH_HOME HF_MODULES_CACHE
    PYTORCH_KERNEL_CACHE_PATH CUDA_CACHE_PATH CUDAHOSTCXX NVCC HIP_PATH ROCM_PATH HSA_TOOLS_LIB LIBNVVM_HOME POCL_*
    PYOPENCL_* INTEL_LIBITTNOTIFY* INTEL_JIT_PROFILER* UR_* SYCL_* ZE_* VK_* LIBGL_* LIBVA_* GBM_* GTK_* LADSPA_PATH
    LV2_PATH FREI0R_PATH ROOTSYS ROOT_* XRD_* GRASS_* GISBASE ESMFMKFILE FLEXIBLAS HYDRA_* OPAL_* ORTE_* PRRTE_* I_MPI_*
    SLURM_CONF CEPH_CONF RCLONE_CONFIG COMPILER_PATH GCC_EXEC_PREFIX LIBRARY_PATH CPATH *_INCLUDE_PATH PKG_CONFIG*
    CMAKE_* MAKEFILES AR LD FC RUSTC* CARGO_* GOFLAGS GOPROXY RSYNC_CONNECT_PROG HGRCPATH GNUPGHOME MAILCAPS GETCONF_DIR
    TERMINFO TERMCAP TCLLIBPATH TEXMFCNF DOTNET_* COR_PROFILER* CORECLR_* MONO_* ERL_* GUILE_* PHP_* MAMBA_* PIXI_*
    NIX_* MODULEPATH JPY_* JVM_PATH
"""
# What such names share: arguments, a command, a library, a host or a file that is taken in another's place.
_BY_SHAPE = """
    *_OPTS *_OPTIONS *_FLAGS *_ARGS *_COMMAND *_CMD *_PLUGIN* *_LIBRARY* *_PRELOAD* *_INJECTION*
    *_EMULATOR_HOST *_ENDPOINT *_ENDPOINT_URL *_ENDPOINT_OVERRIDE *RC *_CONFIG_FILE *_CONFIG_PATH
    *_CONF_DIR *_CONF_FILE *_CONFIG_DIR *_MODULE_FILE *_HOOK *_HOOKS *_RSH *_EDITOR *_PAGER *_ASKPASS *_EXE *_AGENT_HOST
    *_CACERT *_CA_BUNDLE *_VERIFY_SSL
"""
DENY_LIST = tuple((_LISTED + _OF_DATA_LIBRARIES + _BY_SHAPE).split())
"""Names in capitals; `*`, at an end, stands for any characters. Names are compared without regard to case."""

Admitted = Literal["any", "listed"]
"""`any`: whatever the deny list lets through; `listed`: what `[environment] allow` names, and nothing else."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# Plain comparisons: a regular expression of all of them takes as long to compile as the rest of this room to load.
_EXACT = frozenset(entry for entry in DENY_LIST if "*" not in entry)
_BEGINNINGS = tuple(entry[:-1] for entry in DENY_LIST if entry.endswith("*") and not entry.startswith("*"))
_ENDINGS = tuple(entry[1:] for entry in DENY_LIST if entry.startswith("*") and not entry.endswith("*"))
_PARTS = tuple(entry[1:-1] for entry in DENY_LIST if entry.startswith("*") and entry.endswith("*"))
_OF_HANDOVERS = frozenset(name.upper() for name in HANDOVER_VARIABLES)


def malformed(names: Iterable[str]) -> list[str]:
    """Return those that are no names of variables, or too long for one, in the order given."""
    return [name for name in names if len(name) > MAX_NAME_CHARACTERS or _NAME.fullmatch(name) is None]


def too_large(sizes: Mapping[str, int]) -> str:
    """Say what is too large about variables whose values have these numbers of bytes (UTF-8); empty if nothing is."""
    long = [name for name, size in sizes.items() if size > MAX_VALUE_BYTES]
    if long:
        shown = f"{long[0][:MAX_NAME_CHARACTERS]}" + (f" and {len(long) - 1} more" if len(long) > 1 else "")
        return f"the value of {shown} has more than {MAX_VALUE_BYTES // 1024} KiB"
    total = sum(len(name.encode()) + size for name, size in sizes.items())
    return f"its variables have more than {MAX_ALL_BYTES // 1024} KiB together" if total > MAX_ALL_BYTES else ""


def denied(names: Iterable[str], allow: Iterable[str], admit: Admitted = "any") -> list[str]:
    """Return those that a bundle may not bring to a machine with this `[environment]`, in the order given.

    What a handover writes or scrubs is denied whatever `allow` says: it would bring a second identity beside the first.
    """
    allowed = {name.upper() for name in allow}
    return [name for name in names if _is_denied(name.upper(), allowed, admit)]


def _is_denied(name: str, allowed: set[str], admit: Admitted) -> bool:
    if name in _OF_HANDOVERS:
        return True
    return name not in allowed and (admit == "listed" or _is_listed(name))


def _is_listed(name: str) -> bool:
    at_an_end = name in _EXACT or name.startswith(_BEGINNINGS) or name.endswith(_ENDINGS)
    return at_an_end or any(part in name for part in _PARTS)
