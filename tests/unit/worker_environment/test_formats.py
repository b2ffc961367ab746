"""An environment as text: byte for byte as in tests/golden, and read back by those it is meant for."""

import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from credagent.secret import Secret
from credagent.worker_environment import env_file, formats
from credagent.worker_environment.rendering import worker_environment
from tests.unit.worker_environment.rendered import ENVIRONMENT, FILLED, golden

texts = st.text(st.characters(exclude_characters="\0"), max_size=40)


@pytest.mark.parametrize("form", ["dotenv", "shell", "as_json"])
def test_an_environment_has_its_golden_text(form: str) -> None:
    text: str = getattr(formats, form)(worker_environment(FILLED, ENVIRONMENT).environment)
    golden(f"filled.{form}", text.encode())


def test_worker_env_is_the_golden_one_and_leaves_out_what_it_cannot_carry() -> None:
    content, left_out = env_file.env_file_content(worker_environment(FILLED, ENVIRONMENT).environment)
    golden("filled.worker.env", content)
    assert set(left_out) == {"DB_QUOTED", "DB_PEM", "DB_SPACES"}


@given(texts)
@example("$HOME `id` 'x' \"y\" \\ #no; !")
@example("ends in a backslash\\")
@example("")
def test_what_survives_comes_back_from_systemd_and_docker_byte_for_byte(text: str) -> None:
    if env_file.survives_env_file(Secret(text)):
        line = f"NAME={text}\n"
        assert as_systemd_reads(line) == {"NAME": text}
        assert as_docker_reads(line) == {"NAME": text}


@pytest.mark.parametrize(
    "text", ["a" * 64, "x=y", "abc/def+ghi==", "p'w\"d", "#no comment", "; either", "ü", "", "a b"]
)
def test_ordinary_values_survive(text: str) -> None:
    assert env_file.survives_env_file(Secret(text))


@pytest.mark.parametrize(
    "text", ["a\nb", " a", "a ", "'a'", '"a', "a\\b", "a\tb\r", "\ud800", "x" * 60_001, "\x7f", "\ufeffa"]
)
def test_values_that_one_of_the_readers_would_change_do_not(text: str) -> None:
    assert not env_file.survives_env_file(Secret(text))


@given(texts)
@example("it's $HOME `id` \\ \n\n")
def test_a_shell_reads_back_every_value(text: str) -> None:
    if not text.isprintable() and "\r" in text:
        return  # the pipe is read as text below
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    script = formats.shell({"NAME": Secret(text)}) + 'printf %s "$NAME"'
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, check=True)
    assert done.stdout == text.encode()


def as_systemd_reads(content: str) -> dict[str, str]:
    """The states of parse_env_file_internal in systemd's src/basic/env-file.c that an unquoted value passes through."""
    found = {}
    for line in content.splitlines(keepends=True):
        name, _, rest = line.partition("=")
        state, value = "pre", ""
        for character in rest:
            if state == "escape":
                state = "value"
                value += "" if character == "\n" else character
            elif character == "\\":
                state = "escape"
            elif state == "pre" and character in "'\"":
                value = "a quoted value, which this reader leaves to systemd"
                break
            elif character == "\n":
                break
            elif state == "value" or character not in " \t\r":
                state = "value"
                value += character
        found[name] = value.rstrip(" \t\r\n")
    return found


def as_docker_reads(content: str) -> dict[str, str]:
    """What docker's opts/envfile.go does: bufio.ScanLines, a byte-order mark cut, the rest of the line as it is."""
    found = {}
    for line in content.split("\n")[:-1]:
        name, _, value = line.removesuffix("\r").removeprefix("\ufeff").lstrip(" \t").partition("=")
        found[name] = value
    return found
