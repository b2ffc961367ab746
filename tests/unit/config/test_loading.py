"""The configuration: no file at all works, the nearest source wins, and whatever is wrong is named with a remedy."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from credagent import config
from credagent.config.channel_grammar import EnvironmentChannelSpec, FileChannelSpec, SocketChannelSpec
from credagent.errors import ConfigurationError
from tests.unit.config.conftest import written

SIGNATURE = "AKIAEXAMPLEofasignature"

EVERY_KEY = """
[agent]
audience = "blue"
runtime_dir = "/r/"
state_dir = "/s"
settle = "1m"
min_validity = "90s"
[bundle]
channels = ["file:{runtime_dir}/b", "env", "env:BUNDLE", "socket", "socket:{state_dir}/x.sock"]
recipient_keys = ["state", "file:{state_dir}/k", "credential:key", "aws-kms:arn:aws:kms:x:1:key/x"]
trusted_senders = ["credagent-sender:ed25519:AAAA", "file:/etc/credagent/senders"]
trusted_identities = ["arn:aws:iam::123456789012:user/ana", "google:etl@p.iam.gserviceaccount.com"]
identity_max_age = "1h"
expect = "required"
max_age = "2d"
deliver_users = ["alice", "1000"]
[aws]
handover = "endpoint"
fallback = "expired"
required = true
region = "eu-central-1"
assumable_roles = ["arn:aws:iam::123456789012:role/dask-*"]
admit_long_term = true
[google]
handover = "off"
fallback = "absent"
required = false
project = "my-project"
scopes = ["https://www.googleapis.com/auth/devstorage.read_only"]
impersonable = ["reader@my-project.iam.gserviceaccount.com"]
admit_refresh_token = true
[environment]
admit = "listed"
allow = ["GIT_SSH_COMMAND"]
[workers]
env_file = ""
users = []
groups = ["dask", "data"]
intercept = true
intercept_imdsv1 = true
intercept_others = "reject"
[endpoint]
listen = ["127.0.0.2:0", "[::1]:80", "localhost:9817"]
metrics = "127.0.0.1:9818"
[log]
format = "json"
level = "debug"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has folders of his own")
def test_no_configuration_at_all_means_the_defaults() -> None:
    assert config.load(None, {}) == config.Config()


def test_a_missing_default_file_is_fine_and_a_named_one_is_not(tmp_path: Path) -> None:
    config.load(None, {})
    with pytest.raises(ConfigurationError) as caught:
        config.load(str(tmp_path / "absent.toml"), {})
    assert caught.value.code == "file-missing"


def test_the_default_file_is_read_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text('[agent]\naudience = "blue"\n')
    loaded = config.load(None, {})
    assert loaded.agent.audience == "blue"
    assert loaded.path == str(tmp_path / "default.toml")


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[log]\nlevel = "debug"\nformat = "json"\n[aws]\nregion = "eu-central-1"\n')
    loaded = config.load(
        path, {"CREDAGENT_LOG_LEVEL": "warning", "CREDAGENT_LOG_FORMAT": "console"}, {"log.level": "error"}
    )
    assert (loaded.log.level, loaded.log.format, loaded.aws.region) == ("error", "console", "eu-central-1")
    assert loaded.origins == {"log.level": "flag", "log.format": "environment", "aws.region": "file"}


def test_every_key_of_the_documentation_is_read(tmp_path: Path) -> None:
    loaded = config.load(written(tmp_path, EVERY_KEY), {})
    assert set(loaded.origins) == {setting.key for setting in config.describe(loaded)}
    assert loaded.agent == config.AgentSection(
        audience="blue", runtime_dir="/r", state_dir="/s", settle_s=60, min_validity_s=90
    )
    assert loaded.bundle.channels == (
        FileChannelSpec("/r/b"),
        EnvironmentChannelSpec("CREDAGENT_SEALED"),
        EnvironmentChannelSpec("BUNDLE"),
        SocketChannelSpec("/r/agent.sock"),
        SocketChannelSpec("/s/x.sock"),
    )
    assert loaded.bundle.recipient_keys[1] == "file:/s/k"
    assert loaded.bundle.max_age_s == 172_800
    assert loaded.endpoint.listen[1] == config.Address("::1", 80)
    assert loaded.endpoint.metrics == config.Address("127.0.0.1", 9818)
    assert loaded.workers == config.WorkersSection(
        env_file="",
        users=(),
        groups=("dask", "data"),
        intercept=True,
        intercept_imdsv1=True,
        intercept_others="reject",
    )


def test_what_is_described_can_be_used_as_a_configuration(tmp_path: Path) -> None:
    described: dict[str, list[str]] = {}
    for setting in config.describe(config.Config()):
        section, _, name = setting.key.partition(".")
        described.setdefault(section, []).append(f"{name} = {setting.value}")
    text = "".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in described.items())
    assert tomllib.loads(text)["agent"]["settle"] == "10s"
    loaded = config.load(written(tmp_path, text), {})
    assert [(s.key, s.value) for s in config.describe(loaded)] == [
        (s.key, s.value) for s in config.describe(config.Config())
    ]


def test_a_description_says_where_a_value_came_from_and_hides_a_signature() -> None:
    loaded = config.load(None, {"CREDAGENT_BUNDLE_CHANNELS": f"https://host/bundle?X-Amz-Signature={SIGNATURE}"})
    described = {setting.key: setting for setting in config.describe(loaded)}
    assert described["bundle.channels"] == config.Setting(
        "bundle.channels", '["https://host/bundle?***"]', "environment"
    )
    assert described["aws.fallback"].origin == "default"
    assert SIGNATURE not in repr(loaded)


def test_lists_and_booleans_in_the_environment() -> None:
    loaded = config.load(
        None,
        {"CREDAGENT_WORKERS_USERS": "dask, alice,", "CREDAGENT_WORKERS_GROUPS": "", "CREDAGENT_AWS_REQUIRED": "true"},
    )
    assert (loaded.workers.users, loaded.workers.groups, loaded.aws.required) == (("dask", "alice"), (), True)


def test_folders_given_move_what_lies_in_them() -> None:
    loaded = config.load(None, {"CREDAGENT_AGENT_RUNTIME_DIR": "/r"})
    assert loaded.bundle.channels == (FileChannelSpec("/r/inbox/bundle"), SocketChannelSpec("/r/agent.sock"))
    assert loaded.workers.env_file == "/r/worker.env"


def test_expecting_a_bundle_forbids_every_fallback() -> None:
    loaded = config.load(None, {"CREDAGENT_BUNDLE_EXPECT": "required", "CREDAGENT_AWS_FALLBACK": "expired"})
    assert (loaded.aws.fallback, loaded.google.fallback) == ("never", "never")
    assert loaded.origins["aws.fallback"] == "bundle.expect"


def test_variables_of_the_workers_side_and_named_channels_are_not_keys() -> None:
    config.load(
        None,
        {
            "CREDAGENT_SEALED": "x",
            "CREDAGENT_SOCKET": "x",
            "CREDAGENT_WORKER_WAIT": "1s",
            "CREDAGENT_WORKER_MISSING": "exit",
            "CREDAGENT_MY_BUNDLE": "x",
            "CREDAGENT_BUNDLE_CHANNELS": "env:CREDAGENT_MY_BUNDLE",
        },
    )


SERVICE_LINKS = [
    *("CREDAGENT_SERVICE_HOST", "CREDAGENT_SERVICE_PORT", "CREDAGENT_SERVICE_PORT_METRICS", "CREDAGENT_PORT"),
    *("CREDAGENT_PORT_9818_TCP", "CREDAGENT_PORT_9818_TCP_PROTO", "CREDAGENT_PORT_9818_TCP_PORT"),
    *("CREDAGENT_PORT_9818_TCP_ADDR", "CREDAGENT_PORT_53_UDP", "CREDAGENT_METRICS_SERVICE_HOST"),
    "CREDAGENT_METRICS_PORT_80_TCP_ADDR",
]


def test_what_kubernetes_writes_for_a_service_of_that_name_is_left_aside_and_named() -> None:
    loaded = config.load(
        None, {**dict.fromkeys(SERVICE_LINKS, "tcp://10.0.0.1:9818"), "CREDAGENT_AWS_REGION": "eu-west-1"}
    )
    assert loaded.left_aside == tuple(sorted(SERVICE_LINKS))
    assert loaded.origins == {"aws.region": "environment"}
    assert config.load(None, {}).left_aside == ()


def test_a_machine_without_a_file_does_not_load_the_parser_or_the_search_for_similar_names() -> None:
    loaded = "import sys; from credagent import config; config.load(None, {}); "
    script = loaded + "print('tomllib' in sys.modules, 'difflib' in sys.modules)"
    environ = {"HOME": "/nonexistent", "PATH": os.environ["PATH"]}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environ, check=True)
    assert result.stdout.split() == ["False", "False"]
