"""What a library in a process would sign with, and what stands before what the agent gave it, by names alone."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from credagent.cli.node_probes.process_reading import read_start_environment
from credagent.config import AwsSection, Config, GoogleSection
from credagent.operations.observability.home_credential_files import Home, Profile
from credagent.operations.observability.process_identity import (
    ProcessFacts,
    catches_loopback,
    changed_names,
    names_set,
    of_interest,
    process_shadows,
    uses,
)
from credagent.worker import credagent_worker
from credagent.worker_environment.handover_variables import AWS_CLOSED, HANDOVER_VARIABLES

KEYS = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION"})
ENDPOINT = frozenset(
    {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_SHARED_CREDENTIALS_FILE"}
)
METADATA = frozenset({"GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"})
FILE = Profile("/home/dask/.aws/credentials", frozenset({"aws_access_key_id"}), masked=True)
ADC = "/home/dask/.config/gcloud/application_default_credentials.json"


def config(aws: Any = "environment", google: Any = "metadata") -> Config:
    return Config(aws=AwsSection(handover=aws), google=GoogleSection(handover=google))


def facts(*names: str, **others: Any) -> ProcessFacts:
    return ProcessFacts(pid=7, **{"generation": 4, "now": frozenset(names), **others})


@pytest.mark.parametrize(
    ("process", "handover", "source", "ours"),
    [
        (facts(*KEYS), "environment", "the keys in its environment, generation 4 of the agent", True),
        (facts(*KEYS, generation=None), "environment", "keys in its environment, which nobody renews", False),
        (facts(*KEYS), "endpoint", "keys of its own", False),
        (facts(*KEYS, changed=frozenset({"AWS_SECRET_ACCESS_KEY"})), "environment", "keys that something in", False),
        (facts("AWS_ACCESS_KEY_ID"), "environment", "half a key: AWS_SECRET_ACCESS_KEY is missing", False),
        (facts(*KEYS, "AWS_SECURITY_TOKEN"), "environment", "with another session token", False),
        (facts(*ENDPOINT), "endpoint", "the agent's endpoint", True),
        (facts(*ENDPOINT, home=Home(aws=(FILE,))), "endpoint", "the agent's endpoint", True),
        (facts("AWS_CONTAINER_CREDENTIALS_FULL_URI", home=Home(aws=(FILE,))), "endpoint", f"{FILE.path}", False),
        (
            facts(*ENDPOINT, changed=frozenset({"AWS_CONTAINER_CREDENTIALS_FULL_URI"})),
            "endpoint",
            "another container's endpoint than the agent's",
            False,
        ),
        (facts("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", *ENDPOINT), "endpoint", "a web identity", False),
        (facts("AWS_PROFILE"), "environment", "the profile that AWS_PROFILE names", False),
        (facts(*AWS_CLOSED), "environment", "nothing: the slot is closed here", True),
        (facts(), "environment", "whatever instance metadata answers: the machine's own role", False),
    ],
)
def test_what_botocore_would_sign_with(process: ProcessFacts, handover: str, source: str, *, ours: bool) -> None:
    use, _ = uses(process, config(aws=handover))
    assert source in use.source
    assert use.ours is ours


@pytest.mark.parametrize(
    ("process", "source", "ours"),
    [
        (facts(*METADATA), "the agent's metadata server", True),
        (facts(*METADATA, "NO_GCE_CHECK"), "nothing: the slot is closed here", True),
        (
            facts(*METADATA, changed=frozenset({"GCE_METADATA_HOST"})),
            "another metadata server than the agent's",
            False,
        ),
        (facts(*METADATA, home=Home(google_default=ADC)), ADC, False),
        (facts(*METADATA, "GOOGLE_APPLICATION_CREDENTIALS"), "GOOGLE_APPLICATION_CREDENTIALS names", False),
        (facts("NO_GCE_CHECK"), "NO_GCE_CHECK is set", False),
        (facts(), "the machine's metadata server", False),
    ],
)
def test_what_google_auth_would_sign_with(process: ProcessFacts, source: str, *, ours: bool) -> None:
    _, use = uses(process, config())
    assert source in use.source
    assert use.ours is ours


def test_a_slot_that_is_not_handed_over_is_not_judged() -> None:
    nothing = config(aws="off", google="off")
    process = facts("AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS", home=Home(aws=(FILE,), google_default=ADC))
    assert uses(process, nothing) == ()
    assert list(process_shadows(process, nothing)) == []


@pytest.mark.parametrize(
    ("process", "handover", "shadowing"),
    [
        (facts(*KEYS, *METADATA), "environment", []),
        (facts(*ENDPOINT, *METADATA), "endpoint", []),
        (facts(*KEYS, "AWS_SECURITY_TOKEN"), "environment", [("AWS_SECURITY_TOKEN", True)]),
        (facts(*KEYS, "AWS_PROFILE"), "environment", [("AWS_PROFILE", True)]),
        (facts(*KEYS, "AWS_ROLE_ARN"), "environment", [("AWS_ROLE_ARN", False)]),
        (facts(*ENDPOINT, "AWS_ROLE_ARN"), "endpoint", [("AWS_ROLE_ARN", True)]),
        (facts("GOOGLE_APPLICATION_CREDENTIALS"), "environment", [("GOOGLE_APPLICATION_CREDENTIALS", True)]),
        (facts("NO_GCE_CHECK"), "environment", [("NO_GCE_CHECK", True)]),
        (facts("NO_GCE_CHECK", *METADATA), "environment", []),
        (facts(*METADATA, changed=frozenset({"GCE_METADATA_IP"})), "environment", [("GCE_METADATA_IP", True)]),
        (facts(proxied=True), "environment", [("HTTP_PROXY", True)]),
        (facts(home=Home(google_default=ADC)), "environment", [(ADC, True)]),
    ],
)
def test_what_stands_before_it(process: ProcessFacts, handover: str, shadowing: list[tuple[str, bool]]) -> None:
    found = list(process_shadows(process, config(aws=handover)))
    assert [(one.path, one.always) for one in found] == shadowing
    assert all(one.remedy for one in found)


def test_nothing_stands_before_a_slot_that_holds_nothing() -> None:
    """A worker on an AWS machine may well start with NO_GCE_CHECK."""
    (found,) = process_shadows(facts(*KEYS, "NO_GCE_CHECK"), config(), filled=frozenset({"aws"}))
    assert not found.always


def test_the_start_of_a_process_tells_where_its_workers_side_has_scrubbed_since() -> None:
    started = frozenset({"AWS_PROFILE", *KEYS})
    followed = ProcessFacts(pid=7, at_start=started, generation=4)
    alone = ProcessFacts(pid=7, at_start=started)
    assert list(process_shadows(followed, config())) == []
    assert [one.path for one in process_shadows(alone, config())] == ["AWS_PROFILE"]


def test_a_variable_that_a_task_has_set_is_told_from_one_of_the_start() -> None:
    later = ProcessFacts(pid=7, at_start=frozenset(), now=frozenset({"AWS_PROFILE"}), generation=4)
    before = ProcessFacts(pid=7, at_start=frozenset({"AWS_PROFILE"}), now=frozenset({"AWS_PROFILE"}), generation=4)
    assert ["by something that ran" in one.found for one in process_shadows(later, config())] == [True]
    assert ["since its start" in one.found for one in process_shadows(before, config())] == [True]


def test_names_are_kept_and_switches_that_are_off_are_not() -> None:
    environ = {"AWS_PROFILE": "x", "AWS_TOKEN": "", "NO_GCE_CHECK": "false", "PATH": "/bin", "http_proxy": "p"}
    assert names_set(environ) == {"AWS_PROFILE", "http_proxy"}
    assert names_set({"NO_GCE_CHECK": "TRUE"}) == {"NO_GCE_CHECK"}


def test_a_proxy_that_excepts_loopback_catches_nothing() -> None:
    hosts = ("localhost", "127.0.0.1")
    assert catches_loopback({"HTTP_PROXY": "http://p"}, hosts)
    assert not catches_loopback({"HTTP_PROXY": "http://p", "NO_PROXY": "*"}, hosts)
    both = dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1")
    assert not catches_loopback({"HTTP_PROXY": "http://p", **both}, hosts)
    assert not catches_loopback({}, hosts)


def test_only_fixed_values_are_compared() -> None:
    handed_out = {"GCE_METADATA_HOST": "127.0.0.1:9817", "AWS_ACCESS_KEY_ID": "new", "GCE_METADATA_IP": "a"}
    environ = {"GCE_METADATA_HOST": "10.0.0.1", "AWS_ACCESS_KEY_ID": "old"}
    assert changed_names(environ, handed_out) == {"GCE_METADATA_HOST"}


def test_a_living_process_is_read_without_its_values(tmp_path: Path, canary: str) -> None:
    aws = tmp_path / ".aws"
    aws.mkdir()
    (aws / "credentials").write_text(f"[default]\naws_access_key_id = {canary}\n")
    environ = {"HOME": str(tmp_path), "AWS_PROFILE": canary, "AWS_SESSION_TOKEN": canary, "HTTPS_PROXY": canary}
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        seen = read_start_environment(child.pid, past_proxies=["localhost"])
        child.communicate()
    assert canary not in repr(seen)
    assert seen.names == {"AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTPS_PROXY"}
    assert seen.proxied
    assert [profile.path for profile in seen.home.aws] == [str(aws / "credentials")]


def test_the_workers_side_reports_each_name_that_is_judged_here() -> None:
    names = {name for name in HANDOVER_VARIABLES - {"NO_PROXY", "no_proxy"} if of_interest(name)}
    for name in names:
        os.environ[name] = "x"
    assert names <= set(credagent_worker.report({}, ())["names"])


def test_a_process_that_is_gone_cannot_be_read() -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    with pytest.raises(OSError, match="No such file"):
        read_start_environment(child)
