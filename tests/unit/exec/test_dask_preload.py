"""The environment by which Dask loads the worker's side: extended, never replaced."""

import ast

import pytest

from credagent.exec.dask_preload import PRELOADS, preload_environment

WORKER, SCHEDULER = PRELOADS
FOLDER = "/opt/credagent/worker"


def test_nothing_there_gives_the_module_alone() -> None:
    assert preload_environment({}, FOLDER) == {
        "PYTHONPATH": FOLDER,
        WORKER: "['credagent_worker']",
        SCHEDULER: "['credagent_worker']",
    }


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ("mine", ["mine", "credagent_worker"]),
        ("['mine', 'other.py']", ["mine", "other.py", "credagent_worker"]),
        ('("mine",)', ["mine", "credagent_worker"]),
        ("[]", ["credagent_worker"]),
        ("none", ["credagent_worker"]),
        ("https://example.org/setup.py", ["https://example.org/setup.py", "credagent_worker"]),
        ("['credagent_worker', 'mine']", ["credagent_worker", "mine"]),
        ("credagent_worker", ["credagent_worker"]),
    ],
)
def test_a_list_of_the_users_own_is_kept_in_front(present: str, expected: list[str]) -> None:
    assert ast.literal_eval(preload_environment({WORKER: present}, FOLDER)[WORKER]) == expected


def test_asking_twice_changes_nothing() -> None:
    environ = {"PYTHONPATH": "/mine", WORKER: "mine", f"{WORKER}_ARGV": "[['--x', '1']]"}
    once = environ | preload_environment(environ, FOLDER)
    assert once | preload_environment(once, FOLDER) == once


@pytest.mark.parametrize("present", ["/mine", "/mine::/other", ""])
def test_the_import_path_is_kept_as_it_is_and_extended(present: str) -> None:
    found = preload_environment({"PYTHONPATH": present}, FOLDER)["PYTHONPATH"]
    assert found == (f"{present}:{FOLDER}" if present else FOLDER)


def test_argument_lists_stay_as_many_as_preloads() -> None:
    """Dask refuses to start where their numbers differ; a flat list of arguments is for all of them."""
    name = f"{WORKER}_ARGV"
    assert preload_environment({WORKER: "mine", name: "[['--x']]"}, FOLDER)[name] == "[['--x'], []]"
    assert name not in preload_environment({WORKER: "mine", name: "['--x']"}, FOLDER)


def test_dask_reads_the_lists_as_meant() -> None:
    import dask.config

    found = dask.config.collect_env(preload_environment({WORKER: "mine"}, FOLDER))
    assert found["distributed"]["worker"]["preload"] == ["mine", "credagent_worker"]
    assert found["distributed"]["scheduler"]["preload"] == ["credagent_worker"]
