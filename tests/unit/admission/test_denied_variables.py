"""The deny list for custom variables, as the contract has it."""

import pytest

from credagent.admission.denied_variables import (
    DENY_LIST,
    MAX_ALL_BYTES,
    MAX_NAME_CHARACTERS,
    MAX_VALUE_BYTES,
    denied,
    malformed,
    too_large,
)
from credagent.worker_environment.handover_variables import HANDOVER_VARIABLES


@pytest.mark.parametrize("name", ["DB_TOKEN", "_x", "a1", "A"])
def test_names_of_variables(name: str) -> None:
    assert malformed([name]) == []


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "Ä", "A\n", "A\0", "\u0661", "A.B", "BASH_FUNC_x%%"])
def test_what_is_no_name_of_a_variable(name: str) -> None:
    assert malformed([name]) == [name]


@pytest.mark.parametrize("entry", DENY_LIST)
def test_every_entry_denies_in_any_case_and_can_be_allowed_unless_a_handover_uses_it(entry: str) -> None:
    name = entry.replace("*", "SOMETHING")
    assert denied([name, name.lower(), name.title()], []) == [name, name.lower(), name.title()]
    if name not in HANDOVER_VARIABLES:
        assert denied([name, name.lower()], [name.title()]) == []


@pytest.mark.parametrize(
    "name",
    ["LD_PRELOAD", "https_proxy", "PYTHONPATH", "BASH_ENV", "PATH", "RUNTIME_DIRECTORY", "UV_INDEX_URL", "KUBECONFIG"],
)
def test_the_usual_ways_in_are_denied(name: str) -> None:
    assert denied([name], []) == [name]


@pytest.mark.parametrize(
    "name",
    [
        *("HDF5_PLUGIN_PATH", "FSSPEC_S3_ENDPOINT_URL", "numba_cache_dir", "GDAL_CONFIG_FILE", "SERVICE_ACCOUNT", "CC"),
        *("PMIX_MCA_mca_base_component_path", "FI_PROVIDER_PATH", "LIBMYSQL_PLUGIN_DIR", "CUPY_CACHE_DIR"),
        *("PRTE_MCA_mca_base_component_path", "JAX_COMPILATION_CACHE_DIR", "LIBMYSQL_PLUGINS"),
        # Libraries, and modules by name or path.
        *(
            "VK_DRIVER_FILES",
            "INTEL_LIBITTNOTIFY64",
            "UR_ADAPTERS_FORCE_LOAD",
            "HSA_TOOLS_LIB",
            "ESMFMKFILE",
            "I_MPI_ROOT",
        ),
        *(
            "ZARR_CODECS__BLOSC",
            "KERAS_BACKEND",
            "DJANGO_SETTINGS_MODULE",
            "OTEL_PYTHON_CONFIGURATOR",
            "HF_MODULES_CACHE",
        ),
        *("TORCH_HOME", "CORECLR_PROFILER_PATH", "DOTNET_STARTUP_HOOKS", "GDK_PIXBUF_MODULE_FILE", "INTAKE_PATH"),
        # Programs that are run.
        *("PYSPARK_PYTHON", "IMAGEIO_FFMPEG_EXE", "CUDAHOSTCXX", "HYDRA_LAUNCHER_EXEC", "RSYNC_RSH", "SUDO_ASKPASS"),
        *("SYSTEMD_PAGER", "RAY_RUNTIME_ENV_HOOK", "COMPILER_PATH", "CMAKE_TOOLCHAIN_FILE", "MAILCAPS"),
        # Whom a client trusts, and whom it tells.
        *("PROJ_CURL_CA_BUNDLE", "LDAPTLS_CACERT", "X509_CERT_DIR", "S3_VERIFY_SSL", "AZURE_AUTHORITY_HOST", "TDSDUMP"),
        *("PGSERVICEFILE", "TNS_ADMIN", "DD_AGENT_HOST", "KRB5CCNAME", "RESOLV_HOST_CONF", "NCCL_CONF_FILE"),
    ],
)
def test_what_data_libraries_load_code_or_take_an_identity_from_is_denied(name: str) -> None:
    assert denied([name], []) == [name]


@pytest.mark.parametrize(
    "name",
    [
        *("BIGQUERY_EMULATOR_HOST", "TAR_OPTIONS"),  # exploited: the machine's token was sent away; a program was run
        *("FIRESTORE_EMULATOR_HOST", "MAVEN_OPTS", "SBT_OPTS", "RUSTFLAGS_FLAGS", "TORCH_NVCC_FLAGS", "XLA_FLAGS"),
        *("MLFLOW_S3_ENDPOINT_URL", "S3_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OPENAI_ENDPOINT_OVERRIDE"),
        *("POLARS_PLUGIN_PATH", "DUCKDB_LIBRARY_DIR", "NSS_PRELOAD_X", "NCCL_INJECTION_LIB", "MY_PRELOAD"),
        *("PYARROW_CMD", "RSYNC_COMMAND", "MPI_ARGS", "INPUTRC", "WGETRC", "CONDARC", "VIMRC", "RCLONE_CONFIG_FILE"),
        *("RAY_CONFIG_PATH", "bigquery_emulator_host"),
    ],
)
def test_what_has_the_shape_of_arguments_commands_libraries_or_hosts_is_denied(name: str) -> None:
    assert denied([name], []) == [name]
    assert denied([name], [name]) == []


@pytest.mark.parametrize(
    "name",
    [
        *("DB_TOKEN", "MY_PATH", "GDAL_CACHEMAX", "OMP_NUM_THREADS", "HF_TOKEN", "PATHS", "USERS"),
        *(
            "AUTH_TOKEN_FOR_EXAMPLE_ORG",
            "DATABASE_URL",
            "PGPASSWORD",
            "PGUSER",
            "SNOWFLAKE_PASSWORD",
            "SNOWFLAKE_ACCOUNT",
        ),
        *("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"),
        *(
            "PGHOST",
            "MLFLOW_TRACKING_URI",
            "AIRFLOW_CONN_WAREHOUSE",
            "DD_API_KEY",
            "LDAP_PASSWORD",
            "HF_HOME",
            "APP_CONFIG",
        ),
        *("PROJ_LIB", "GDAL_DATA", "MODEL_BACKEND"),
        *("OPENAI_API_KEY", "WANDB_API_KEY", "EARTHDATA_TOKEN", "CDSAPI_KEY", "MYSQL_PWD"),
    ],
)
def test_ordinary_variables_pass(name: str) -> None:
    assert denied([name], []) == []


@pytest.mark.parametrize("name", sorted(HANDOVER_VARIABLES))
def test_what_a_handover_uses_is_denied_whatever_is_allowed(name: str) -> None:
    assert denied([name, name.lower()], [name, name.lower()]) == [name, name.lower()]


def test_a_machine_that_admits_listed_variables_admits_no_other() -> None:
    names = ["DB_TOKEN", "HF_TOKEN", "GIT_DIR", "AWS_PROFILE"]
    assert denied(names, ["db_token", "GIT_DIR", "AWS_PROFILE"], "listed") == ["HF_TOKEN", "AWS_PROFILE"]


def test_names_and_values_have_limits_that_are_met_to_the_byte() -> None:
    assert malformed(["A" * MAX_NAME_CHARACTERS, "A" * (MAX_NAME_CHARACTERS + 1)]) == ["A" * (MAX_NAME_CHARACTERS + 1)]
    assert too_large({"A": MAX_VALUE_BYTES, "B": MAX_VALUE_BYTES}) == ""
    assert "value of B has more than 32 KiB" in too_large({"A": 1, "B": MAX_VALUE_BYTES + 1})
    filling = {f"{n:04}": 1020 for n in range(96)}
    assert sum(len(name) + size for name, size in filling.items()) == MAX_ALL_BYTES
    assert too_large(filling) == ""
    assert "96 KiB together" in too_large({**filling, "0000": 1021})


def test_the_order_given_is_kept_and_allowing_one_allows_only_that_one() -> None:
    assert denied(["GIT_DIR", "A", "GIT_SSH_COMMAND", "LESS"], ["git_dir"]) == ["GIT_SSH_COMMAND", "LESS"]
