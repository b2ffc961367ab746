"""What whoever starts the agent gives it directly: a variable, standard input, a systemd credential."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from credagent.channels import stdin
from credagent.channels.environment import EnvironmentChannel
from credagent.channels.factory import pull_channels
from credagent.channels.pull_channel import ENVELOPE_LIMIT_BYTES, Content, PullChannel
from credagent.channels.stdin import Line, StdinChannel
from credagent.channels.systemd_credential import SystemdCredentialChannel
from credagent.config import channel_grammar as configured
from credagent.errors import CredagentError


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return a pipe's two ends."""
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        try:
            os.close(end)
        except OSError:
            continue


def code(content: Content) -> str:
    assert isinstance(content, CredagentError)
    return content.code


async def first_told(channel: PullChannel) -> Content:
    """Follow a channel until it tells for the first time."""
    told: asyncio.Queue[Content] = asyncio.Queue()
    task = asyncio.create_task(channel.follow(told.put_nowait))
    try:
        return await asyncio.wait_for(told.get(), 10)
    finally:
        task.cancel()


def test_a_variable_is_what_it_holds() -> None:
    assert EnvironmentChannel("SEALED", {"SEALED": "bundle"}).present() == b"bundle"


def test_a_variable_that_is_not_set_is_absent_and_an_empty_one_is_empty_content() -> None:
    assert EnvironmentChannel("SEALED", {}).present() is None
    assert EnvironmentChannel("SEALED", {"SEALED": ""}).present() == b""


def test_bytes_that_are_no_text_reach_the_grammar_as_they_are() -> None:
    assert EnvironmentChannel("SEALED", {"SEALED": os.fsdecode(b"\xff\xfe")}).present() == b"\xff\xfe"


def test_a_credential_is_the_file_that_systemd_made(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(b"bundle\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert SystemdCredentialChannel("bundle", environ).present() == b"bundle\n"
    assert SystemdCredentialChannel("another", environ).present() is None
    assert SystemdCredentialChannel("bundle", {}).present() is None


def test_a_credential_that_is_larger_than_a_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_bytes(b"x" * (ENVELOPE_LIMIT_BYTES + 1))
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert code(SystemdCredentialChannel("bundle", environ).present()) == "too-large"


def test_the_first_line_of_standard_input_is_the_bundle(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"bundle\nand what somebody types next")
    assert StdinChannel(Line(pipe[0])).present() == b"bundle"


def test_an_input_that_ends_without_a_newline_is_complete(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"bundle")
    os.close(pipe[1])
    assert StdinChannel(Line(pipe[0])).present() == b"bundle"


def test_an_input_that_ends_without_a_byte_is_empty_content(pipe: tuple[int, int]) -> None:
    os.close(pipe[1])
    assert StdinChannel(Line(pipe[0])).present() == b""


def test_dev_null_is_no_input() -> None:
    with open(os.devnull, "rb") as nothing:
        assert StdinChannel(Line(nothing.fileno())).present() is None


def test_a_closed_standard_input_is_refused_and_stops_nothing() -> None:
    closed = os.open(os.devnull, os.O_RDONLY)
    os.close(closed)
    assert code(StdinChannel(Line(closed)).present()) == "stdin-unreadable"


def test_an_input_that_never_ends_is_refused_at_the_limit(pipe: tuple[int, int]) -> None:
    line = Line(pipe[0])
    for _ in range(3):
        os.write(pipe[1], b"x" * 60_000)
        line.wait(0.05)
    assert code(line.content()) == "too-large"


def test_the_start_does_not_wait_for_a_late_writer_and_the_running_agent_does(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdin, "START_WAIT_S", 0.01)
    channel = StdinChannel(Line(pipe[0]))
    assert channel.present() is None

    async def later() -> Content:
        os.write(pipe[1], b"bundle\n")
        return await first_told(channel)

    assert asyncio.run(later()) == b"bundle"


def test_a_line_without_an_end_is_refused_when_its_time_is_over(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdin, "DEADLINE_S", 0.05)
    os.write(pipe[1], b"half a bun")
    assert code(asyncio.run(first_told(StdinChannel(Line(pipe[0]))))) == "stdin-unfinished"


def test_what_was_read_once_is_what_a_reload_finds() -> None:
    made = [pull_channels([configured.StdinChannelSpec()], {})[0] for _ in range(2)]
    assert made[0]._line is made[1]._line  # type: ignore[attr-defined]  # a stdin channel, by its specification


def test_two_channels_of_a_kind_are_told_apart_by_their_whole_text() -> None:
    wanted: list[configured.Channel] = [
        configured.EnvironmentChannelSpec("A"),
        configured.EnvironmentChannelSpec("B"),
        configured.FileChannelSpec("/b"),
    ]
    assert [one.name for one in pull_channels(wanted, {})] == ["env:A", "env:B", "file"]


def test_every_kind_but_the_socket_is_served_and_shared_as_the_rules_say() -> None:
    texts = (
        "file:/b env stdin socket credential:c ec2-user-data gce-attribute:a https://h/b s3://buc/k gs://buc/k "
        "aws-ssm:/p"
    )
    parsed: list[Any] = [configured.parse_channel(text) for text in texts.split()]
    made = pull_channels(parsed, {})
    assert {one.name: one.shared for one in made} == {
        "file": False,
        "env": False,
        "stdin": False,
        "credential": False,
        "ec2-user-data": True,
        "gce-attribute": True,
        "https": True,
        "s3": True,
        "gs": True,
        "aws-ssm": True,
    }


def test_the_query_of_an_address_is_in_no_name() -> None:
    addresses = ("https://host/a?X-Amz-Signature=secret", "https://host/b?X-Amz-Signature=secret")
    made = pull_channels([configured.HttpsChannelSpec(url) for url in addresses], {})
    assert "secret" not in f"{[one.name for one in made]}"
