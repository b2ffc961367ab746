"""`jobqueue_options`: what stands in a job script, which batch system may read it, and what is refused."""

import os
import sys
from pathlib import Path

import pytest

import credagent
from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.errors import ConfigurationError, UsageError
from credagent.sender.jobqueue_options import UNFIT


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "credagent"


def lines(**options: object) -> list[str]:
    found = credagent.jobqueue_options(**options)["job_script_prologue"]  # type: ignore[arg-type]  # options of several types
    assert isinstance(found, list)
    return found


def test_the_first_use_makes_this_users_key_and_jobs_trust_its_public_half(home: Path) -> None:
    script = lines()
    assert f"export CREDAGENT_BUNDLE_TRUSTED_SENDERS={(home / 'sender.pub').read_text().strip()}" in script
    assert (home / "sender.key").read_text().strip() not in "\n".join(script)
    assert lines() == script, "the key is made once"


def test_senders_that_are_named_need_no_key_of_ones_own(home: Path) -> None:
    keys = [SenderPrivateKey.generate().public_key.line for _ in range(2)]
    assert f"export CREDAGENT_BUNDLE_TRUSTED_SENDERS={','.join(keys)}" in lines(trusted_senders=keys, security=None)
    assert not home.exists()


def test_a_private_key_by_mistake_goes_into_no_job_script() -> None:
    text = SenderPrivateKey.generate().to_text().reveal()
    with pytest.raises(ConfigurationError) as refused:
        credagent.jobqueue_options(trusted_senders=text)
    assert text not in str(refused.value)


def test_the_workers_python_is_started_by_the_agent_of_the_same_python() -> None:
    assert credagent.jobqueue_options()["python"] == f"{sys.executable} -m credagent exec -- {sys.executable}"
    spaced = credagent.jobqueue_options(python="/my env/python")["python"]
    assert spaced == "'/my env/python' -m credagent exec -- '/my env/python'"


def test_configuration_travels_as_variables_and_ones_own_lines_come_first() -> None:
    script = lines(
        audience="lab",
        config={"aws": {"handover": "endpoint", "required": True}, "environment": {"allow": ["A", "B"]}},
        job_script_prologue=["module load python"],
    )
    assert script[0] == "module load python"
    for wanted in ("AGENT_AUDIENCE=lab", "AWS_HANDOVER=endpoint", "AWS_REQUIRED=true", "ENVIRONMENT_ALLOW=A,B"):
        assert f"export CREDAGENT_{wanted}" in script


def test_no_line_holds_what_htcondor_takes_for_a_macro() -> None:
    assert not [line for line in lines() if "$(" in line or '"' in line]


@pytest.mark.parametrize("character", sorted(UNFIT))
def test_a_value_that_some_batch_system_would_read_otherwise_is_refused(character: str) -> None:
    with pytest.raises(UsageError) as refused:
        credagent.jobqueue_options(config={"agent": {"audience": f"a{character}b"}})
    assert refused.value.code == "value-unfit"


def test_a_key_that_no_configuration_has_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        credagent.jobqueue_options(config={"aws": {"hangover": "endpoint"}})
    assert refused.value.code == "unknown-key"


def test_dasks_own_tls_is_on_and_its_certificates_lie_where_only_this_user_reads(home: Path) -> None:
    options = credagent.jobqueue_options()
    assert (options["security"], options["shared_temp_directory"]) == (True, str(home))
    assert os.stat(home).st_mode & 0o777 == 0o700
    assert {"security", "shared_temp_directory"}.isdisjoint(credagent.jobqueue_options(security=None))
