"""The deny list for custom variables, as the contract has it."""

import pytest

from credagent.admission.denied_variables import DENY_LIST, denied, malformed
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
    ],
)
def test_what_data_libraries_load_code_or_take_an_identity_from_is_denied(name: str) -> None:
    assert denied([name], []) == [name]


@pytest.mark.parametrize(
    "name", ["DB_TOKEN", "MY_PATH", "GDAL_CACHEMAX", "OMP_NUM_THREADS", "HF_TOKEN", "PATHS", "USERS"]
)
def test_ordinary_variables_pass(name: str) -> None:
    assert denied([name], []) == []


@pytest.mark.parametrize("name", sorted(HANDOVER_VARIABLES))
def test_what_a_handover_uses_is_denied_whatever_is_allowed(name: str) -> None:
    assert denied([name, name.lower()], [name, name.lower()]) == [name, name.lower()]


def test_the_order_given_is_kept_and_allowing_one_allows_only_that_one() -> None:
    assert denied(["GIT_DIR", "A", "GIT_SSH_COMMAND", "LESS"], ["git_dir"]) == ["GIT_SSH_COMMAND", "LESS"]
