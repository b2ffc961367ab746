"""Whatever is wrong with a configuration is one error: place, key, type and a remedy; never the value."""

import os
from pathlib import Path

import pytest

from credagent import config
from credagent.errors import ConfigurationError, CredagentError, Exit, PermissionRefused
from tests.unit.config.conftest import written

SECRET_BY_MISTAKE = "AKIAEXAMPLEofasecretinthewrongplace"


def refused(path: str | None, environ: dict[str, str] | None = None) -> CredagentError:
    with pytest.raises(CredagentError) as caught:
        config.load(path, environ or {})
    assert caught.value.what
    assert caught.value.hint
    assert SECRET_BY_MISTAKE not in f"{caught.value} {caught.value.hint} {caught.value.what}"
    return caught.value


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("CREDAGENT_AGENT_AUDIENSE", "CREDAGENT_AGENT_AUDIENCE"),
        ("CREDAGENT_AUDIENCE", "CREDAGENT_AGENT_AUDIENCE"),
        ("CREDAGENT_SEALD", "CREDAGENT_SEALED"),
        ("CREDAGENT_SERVICE_HOSTS", "CREDAGENT_"),
        ("CREDAGENT_PORT_X_TCP", "CREDAGENT_"),
        ("CREDAGENT_XYZZY_PLUGH", "CREDAGENT_"),
    ],
)
def test_an_unknown_variable_names_the_nearest(name: str, near: str) -> None:
    error = refused(None, {name: SECRET_BY_MISTAKE})
    assert error.what == name
    assert near in error.hint


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ('[agent]\naudiance = "x"', "agent.audience"),
        ('[agnet]\naudience = "x"', "agent"),
        ('audience = "x"', "agent.audience"),
        ("[aws]\nadmit_longterm = true", "aws.admit_long_term"),
        ('agent = "x"', "[agent]"),
        ("[[agent]]\n", "[agent]"),
        ('[agent.audience]\nname = "x"', "a text in quotes"),
        ("[agent]\nsettle = 10", 'a duration in quotes: "90s"'),
    ],
)
def test_a_slip_is_told_what_was_meant(text: str, near: str, tmp_path: Path) -> None:
    error = refused(written(tmp_path, text))
    assert error.what.startswith(str(tmp_path / "config.toml: "))
    assert near in error.hint


WRONG = [
    ("agent", "audience", f'"{SECRET_BY_MISTAKE}\\u0007"', "not a name"),
    ("agent", "audience", f'"{"ä" * 128}"', "not a name"),
    ("agent", "audience", "7", "an integer"),
    ("agent", "runtime_dir", '"run"', "not an absolute path"),
    ("agent", "runtime_dir", '"/"', "not an absolute path"),
    ("agent", "runtime_dir", '"{state_dir}/x"', "not an absolute path"),
    ("agent", "runtime_dir", f'"/{"x" * 100}"', "a socket's path"),
    ("agent", "settle", "10", "an integer"),
    ("agent", "settle", "1.5", "a number"),
    ("agent", "settle", '"10"', "not a duration"),
    ("agent", "settle", '"10 s"', "not a duration"),
    ("agent", "settle", '"-1s"', "not a duration"),
    ("agent", "settle", '"1w"', "not a duration"),
    ("agent", "settle", '"999999999d"', "not a duration"),
    ("agent", "settle", '"\u0661s"', "not a duration"),
    ("agent", "min_validity", "2026-11-01", "a date or time"),
    ("bundle", "channels", '"socket"', "a text"),
    ("bundle", "channels", f'["socket", "{SECRET_BY_MISTAKE}"]', "item 2 is not a channel"),
    ("bundle", "channels", "[1]", "item 1 is an integer"),
    ("bundle", "channels", '["file:relative"]', "item 1 is a relative path"),
    ("bundle", "channels", '["file:{nowhere}/x"]', "item 1 is an unknown placeholder"),
    ("bundle", "channels", '["dask:tcp://127.0.0.1:8786"]', "item 1 is a target only"),
    ("bundle", "recipient_keys", "[]", "an empty list"),
    ("bundle", "recipient_keys", '["file:key"]', "item 1 is not a recipient key"),
    ("bundle", "recipient_keys", '["credential:../key"]', "item 1 is not a recipient key"),
    ("bundle", "trusted_senders", '["credagent-recipient:x-wing:AAAA"]', "item 1 is not the public key of a sender"),
    ("bundle", "trusted_identities", '["arn:aws:iam::*:user/ana"]', "item 1 is not an identity that a cloud attests"),
    ("bundle", "expect", '"require"', "not one of the accepted"),
    ("bundle", "max_age", "true", "a boolean"),
    ("bundle", "deliver_users", '["a:b"]', "item 1 is not the name"),
    ("aws", "handover", '"metadata"', "not one of the accepted"),
    ("aws", "fallback", '"always"', "not one of the accepted"),
    ("aws", "required", '"true"', "a text"),
    ("aws", "region", '"Frankfurt am Main"', "not a region"),
    ("aws", "assumable_roles", '["dask-role"]', "item 1 is not the ARN of a role"),
    ("google", "handover", '"endpoint"', "not one of the accepted"),
    ("google", "scopes", "[]", "an empty list"),
    ("google", "impersonable", '["reader"]', "item 1 is not a service account"),
    ("environment", "admit", '"none"', "not one of the accepted"),
    ("environment", "allow", '["GIT_*"]', "item 1 is not a variable's name"),
    ("workers", "env_file", '"worker.env"', "not an absolute path"),
    ("workers", "env_file", '"/dev/null"', "not an absolute path of a file"),
    ("endpoint", "listen", '["0.0.0.0:9817"]', "item 1 is not a loopback address"),
    ("endpoint", "listen", '["127.0.0.1:65536"]', "item 1 is not a loopback address"),
    ("endpoint", "listen", '["127.0.0.256:1"]', "item 1 is not a loopback address"),
    ("endpoint", "listen", '["127.0.0.1"]', "item 1 is not a loopback address"),
    ("endpoint", "listen", '["[::]:1"]', "item 1 is not a loopback address"),
    ("endpoint", "metrics", '"example.org:1"', "not a loopback address"),
    ("log", "level", '"verbose"', "not one of the accepted"),
]


@pytest.mark.parametrize(("section", "key", "value", "why"), WRONG)
def test_a_wrong_value_names_file_key_and_type_and_never_the_value(
    section: str, key: str, value: str, why: str, tmp_path: Path
) -> None:
    error = refused(written(tmp_path, f"[{section}]\n{key} = {value}\n"))
    assert error.exit_code == Exit.CONFIGURATION
    assert why in error.why
    if "a socket's path" not in why:
        assert error.what == f"{tmp_path}/config.toml: {section}.{key}"


def test_a_wrong_value_in_the_environment_names_the_variable() -> None:
    assert refused(None, {"CREDAGENT_AWS_REQUIRED": "yes"}).what == "CREDAGENT_AWS_REQUIRED (aws.required)"
    assert refused(None, {"CREDAGENT_AGENT_SETTLE": "10"}).what == "CREDAGENT_AGENT_SETTLE (agent.settle)"


def test_an_audience_is_needed_where_other_machines_may_hold_the_key() -> None:
    error = refused(None, {"CREDAGENT_BUNDLE_RECIPIENT_KEYS": "state,file:/etc/credagent/cluster.key"})
    assert error.code == "no-audience"
    config.load(None, {"CREDAGENT_BUNDLE_RECIPIENT_KEYS": "file:/k", "CREDAGENT_AGENT_AUDIENCE": "blue"})


@pytest.mark.parametrize(
    "content", [b"[agent\n", b"\xff\xfe", b"[agent]\nx = 1\nx = 2", b"x = " + b"[" * 9_000, b"x = " + b"9" * 9_000]
)
def test_what_is_not_toml_is_one_clear_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    path.chmod(0o644)
    assert refused(str(path)).exit_code == Exit.CONFIGURATION


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_configuration_that_others_can_write_is_refused(mode: int, tmp_path: Path) -> None:
    error = refused(written(tmp_path, "", mode))
    assert isinstance(error, PermissionRefused)
    assert error.exit_code == Exit.PERMISSION


def test_a_fifo_or_device_is_not_a_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (str(tmp_path / "fifo"), "/dev/null", str(tmp_path)):
        assert isinstance(refused(path), ConfigurationError)


@pytest.mark.parametrize(
    ("text", "runtime_dir", "region"),
    [
        ('[agent]\nruntime_dir = "/r/run"\n[aws]\nregion = "eu-1"\nhandovr = "off"\n', "/r/run", "eu-1"),
        ('[agnet]\nruntime_dir = "/r/run"\n[aws]\nregion = 7\n', "/r/run", ""),
        ('[agent]\nruntime_dir = "/r/run"\nstate_dir = /unquoted\n[aws]\nregion = "eu-1"\n', "/r/run", "eu-1"),
        ('agent = 1\n[aws]\nregion = "eu-1"\n', "", "eu-1"),
        ("\x00", "", ""),
    ],
)
def test_who_looks_for_the_agent_beside_a_typo_reads_the_rest(
    tmp_path: Path, text: str, runtime_dir: str, region: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigurationError):
        config.load(path, {})
    read = config.load_what_can_be(path, {"CREDAGENT_AWS_REQUIRED": "maybe"})
    assert (read.path, read.aws.region, read.aws.required) == (path, region, False)
    assert read.agent.runtime_dir == runtime_dir or not runtime_dir
