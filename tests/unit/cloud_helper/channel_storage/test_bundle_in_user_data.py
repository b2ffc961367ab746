"""Where in user data a bundle is found, and where it is not."""

import gzip
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest

from credagent.cloud_helper.channel_storage.bundle_in_user_data import bundle_in
from credagent.cloud_helper.failures import CloudFailure

BUNDLE = "credagent-bundle:QUJD_-4"
OTHER = "credagent-bundle:REVG"


def multipart(*parts: tuple[str, str]) -> bytes:
    message = MIMEMultipart()
    for subtype, text in parts:
        message.attach(MIMEText(text, subtype))
    return message.as_bytes()


@pytest.mark.parametrize(
    "text",
    [
        BUNDLE,
        f"#cloud-config\n# {BUNDLE}\npackages: [htop]\n",
        f"#cloud-config\n#{BUNDLE}",
        f"#cloud-config\nwrite_files:\n- path: /run/credagent/inbox/bundle\n  content: {BUNDLE}\n",
        f"#cloud-config\nwrite_files:\n- content: '{BUNDLE}'\n  path: /b\n",
        f'#cloud-config\nwrite_files:\n- path: /b\n  content: "{BUNDLE}"\n',
        f"#cloud-config\nwrite_files:\n- path: /b\n  content: |\n    {BUNDLE}\n  owner: root\n",
        f"#!/bin/sh\n# {BUNDLE}\nexec dask worker\n",
        f"#cloud-config\r\n# {BUNDLE}\r\nruncmd: []\r\n",
        f"#cloud-config\n# {BUNDLE}\nwrite_files:\n- content: {BUNDLE}\n  path: /b\n",
    ],
)
def test_a_bundle_may_share_user_data_with_others(text: str) -> None:
    assert bundle_in(text.encode()) == BUNDLE.encode()


def test_a_bundle_alone_is_taken_whole_so_that_what_follows_it_is_refused() -> None:
    assert bundle_in(f"{BUNDLE}\nmore".encode()) == f"{BUNDLE}\nmore".encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#!/bin/bash\necho hello\n",
        "#cloud-config\npackages: [htop]\n",
        f"#!/bin/sh\necho {BUNDLE} > /run/credagent/inbox/bundle\n",
        f"#cloud-config\nruncmd:\n- [sh, -c, 'echo {BUNDLE}']\n",
        "Content-Type: text/plain\n\nnothing\n",
    ],
)
def test_user_data_of_somebody_elses_holds_no_bundle(text: str) -> None:
    assert bundle_in(text.encode()) is None


def test_bytes_of_any_kind_hold_no_bundle() -> None:
    assert bundle_in(bytes(range(256)) * 60) is None
    assert bundle_in(b"\x1f\x8bnot gzip at all") is None


def test_a_part_of_its_own_type_is_the_bundle_and_others_are_searched() -> None:
    assert bundle_in(multipart(("x-shellscript", "#!/bin/sh\n"), ("x-credagent-bundle", BUNDLE))) == BUNDLE.encode()
    assert bundle_in(multipart(("cloud-config", f"#cloud-config\n# {BUNDLE}\n"))) == BUNDLE.encode()
    assert bundle_in(multipart(("x-shellscript", "#!/bin/sh\n"), ("cloud-config", "#cloud-config\n"))) is None


def test_a_part_of_that_type_that_is_no_bundle_is_refused_later_and_not_overlooked() -> None:
    assert bundle_in(multipart(("x-credagent-bundle", "something else"))) == b"something else"


def test_compressed_user_data_are_read_as_cloud_init_reads_them() -> None:
    assert bundle_in(gzip.compress(f"#cloud-config\n# {BUNDLE}\n".encode())) == BUNDLE.encode()


def test_two_different_bundles_are_one_too_many() -> None:
    with pytest.raises(CloudFailure) as raised:
        bundle_in(f"#cloud-config\n# {BUNDLE}\n# {OTHER}\n".encode())
    assert raised.value.code == "channel-ambiguous"


def test_a_bomb_is_not_unpacked_and_a_message_of_thousands_of_parts_not_walked() -> None:
    for hostile in (gzip.compress(bytes(64 << 20)), multipart(*[("plain", "x")] * 200)):
        with pytest.raises(CloudFailure) as raised:
            bundle_in(hostile)
        assert raised.value.code == "channel-too-large"


def test_a_hostile_document_takes_no_time() -> None:
    for hostile in (b"a:\n " * 16_000, b"#" * 65_000, b" " * 65_000 + b"x", b"Content-Type: multipart/" * 2_500):
        assert bundle_in(hostile) is None
