"""The one grammar of channels and targets."""

import pytest

from credagent.config import Target, channel_text, parse_channel
from credagent.config.channel_grammar import (
    CredentialChannelSpec,
    DaskTargetSpec,
    Ec2UserDataChannelSpec,
    EnvironmentChannelSpec,
    FileChannelSpec,
    GceAttributeChannelSpec,
    GsChannelSpec,
    HttpsChannelSpec,
    S3ChannelSpec,
    SocketChannelSpec,
    SsmChannelSpec,
    StdinChannelSpec,
)
from credagent.errors import ConfigurationError

GOOD: list[tuple[str, Target, str]] = [
    ("file:/a b/c", FileChannelSpec("/a b/c"), ""),
    ("file:relative", FileChannelSpec("relative"), ""),
    ("env", EnvironmentChannelSpec("CREDAGENT_SEALED"), "env:CREDAGENT_SEALED"),
    ("env:X", EnvironmentChannelSpec("X"), ""),
    ("stdin", StdinChannelSpec(), ""),
    ("socket", SocketChannelSpec("/r/agent.sock"), "socket:/r/agent.sock"),
    ("socket:/x", SocketChannelSpec("/x"), ""),
    ("credential:bundle", CredentialChannelSpec("bundle"), ""),
    ("ec2-user-data", Ec2UserDataChannelSpec(), ""),
    ("gce-attribute:credagent-bundle", GceAttributeChannelSpec("credagent-bundle"), ""),
    ("https://host", HttpsChannelSpec("https://host"), ""),
    ("https://host:8443/a/b", HttpsChannelSpec("https://host:8443/a/b"), ""),
    ("https://[::1]/a", HttpsChannelSpec("https://[::1]/a"), ""),
    ("https://host/a?sig=1", HttpsChannelSpec("https://host/a?sig=1"), "https://host/a?***"),
    ("s3://bucket/a/b", S3ChannelSpec("bucket", "a/b"), ""),
    ("gs://bucket/a/b", GsChannelSpec("bucket", "a/b"), ""),
    ("aws-ssm:/dask/bundle", SsmChannelSpec("/dask/bundle"), ""),
    ("dask:tls://10.0.0.1:8786", DaskTargetSpec("tls://10.0.0.1:8786"), ""),
    ("dask:[::1]:8786", DaskTargetSpec("[::1]:8786"), ""),
]


@pytest.mark.parametrize(("text", "value", "shown"), GOOD)
def test_a_channel_is_parsed_and_shown_as_it_is_written(text: str, value: Target, shown: str) -> None:
    assert parse_channel(text, "/r") == value
    assert channel_text(value) == (shown or text)
    assert value.kind == text.partition(":")[0]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "one of file:PATH"),
        ("file:", "write file:PATH"),
        ("file:a\nb", "write file:PATH"),
        ("flie:/a", "did you mean file:PATH?"),
        ("env:", "write env"),
        ("env:1A", "write env"),
        ("socket:", "write socket"),
        ("stdin:x", "write stdin"),
        ("credential:a/b", "write credential:NAME"),
        ("credential:..", "write credential:NAME"),
        ("ec2-userdata", "did you mean ec2-user-data?"),
        ("gce-attribute:", "write gce-attribute:NAME"),
        ("http://host/a", "did you mean https://"),
        ("https://", "write https://"),
        ("https://user:password@host/", "write https://"),
        ("https://host/a#b", "write https://"),
        ("https://host/a b", "write https://"),
        ("s3://bucket", "write s3://"),
        ("s3://Bucket/a", "write s3://"),
        ("gs://bucket/", "write gs://"),
        ("aws-ssm:a b", "write aws-ssm:NAME"),
        ("dask:host", "write dask:HOST:PORT"),
        ("FILE:/a", "did you mean"),
    ],
)
def test_a_wrong_channel_is_told_how_it_is_written_and_not_repeated(text: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_channel(text)
    assert hint in caught.value.hint
    assert not text or text not in str(caught.value)


def test_a_signature_is_not_in_the_representation() -> None:
    assert "sig" not in repr(parse_channel("https://host/a?sig=1"))
