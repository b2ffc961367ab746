"""One credential set, every wire form, byte for byte as in tests/golden.

After a change that is meant, `UPDATE_GOLDEN=1 pytest tests/unit/rules/test_rendering.py` writes the files anew; the
difference is then read before it is committed.
"""

import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from credagent.credentials import CredentialSet
from credagent.rules import handovers, rendering
from credagent.rules.rendering import HandoverPlan, WorkerView, worker_environment
from credagent.secret import Secret
from tests.unit.rules.rendered import (
    ABSENT,
    CASES,
    CLOSED,
    ENDPOINT,
    ENVIRONMENT,
    EXPIRES_AT,
    FILLED,
    LONG_TERM,
    NOW,
    SESSION,
    TOKEN,
    VARIABLES,
    held,
)

GOLDEN = Path(__file__).parents[2] / "golden"


def golden(name: str, found: bytes) -> None:
    path = GOLDEN / name
    if "UPDATE_GOLDEN" in os.environ:
        path.write_bytes(found)
    assert found == path.read_bytes()


def shown(view: WorkerView) -> bytes:
    document = {
        "environment": {name: value.reveal() for name, value in view.environment.items()},
        "overwrite": {name: value.reveal() for name, value in view.overwrite.items()},
        "scrub": list(view.scrub),
    }
    return json.dumps(document, indent=2).encode() + b"\n"


@pytest.mark.parametrize("case", CASES)
def test_a_workers_environment_is_the_golden_one(case: str) -> None:
    credential_set, plan = CASES[case]
    golden(f"{case}.worker.json", shown(worker_environment(credential_set, plan)))


@pytest.mark.parametrize("form", ["dotenv", "shell", "as_json"])
def test_an_environment_has_its_golden_text(form: str) -> None:
    text: str = getattr(rendering, form)(worker_environment(FILLED, ENVIRONMENT).environment)
    golden(f"filled.{form}", text.encode())


def test_worker_env_is_the_golden_one_and_leaves_out_what_it_cannot_carry() -> None:
    content, left_out = rendering.env_file(worker_environment(FILLED, ENVIRONMENT).environment)
    golden("filled.worker.env", content)
    assert set(left_out) == {"DB_QUOTED", "DB_PEM", "DB_SPACES"}


def test_the_vendors_documents_are_the_golden_ones() -> None:
    golden("session.container.json", rendering.container_json(held(SESSION)) or b"")
    golden("session.credential-process.json", json.dumps(rendering.credential_process(held(SESSION))).encode())
    golden("long-term.credential-process.json", json.dumps(rendering.credential_process(held(LONG_TERM))).encode())
    golden("token.google.json", rendering.google_token(TOKEN, NOW))


def test_a_long_term_key_is_no_container_credential() -> None:
    assert rendering.container_json(held(LONG_TERM)) is None
    assert rendering.container_json(held(TOKEN)) is None
    assert rendering.credential_process(held(TOKEN)) is None


def test_the_end_of_the_bundle_bounds_what_ends_later() -> None:
    bounded = held(SESSION, expires_at=EXPIRES_AT - timedelta(minutes=30))
    document = rendering.credential_process(bounded)
    assert document is not None
    assert document["Expiration"] == "2026-11-22T12:30:00Z"


def test_an_expired_google_token_has_no_time_left_rather_than_less_than_none() -> None:
    assert json.loads(rendering.google_token(TOKEN, EXPIRES_AT + timedelta(hours=1)))["expires_in"] == 0


def test_the_configured_region_wins_and_the_machines_own_is_the_last_resort() -> None:
    def region(plan: HandoverPlan, credential_set: CredentialSet = FILLED) -> str | None:
        found = worker_environment(credential_set, plan).environment.get("AWS_REGION")
        return found.reveal() if found else None

    without_region = CredentialSet(generation=1, aws=held(LONG_TERM))
    assert region(HandoverPlan(region="us-west-2", machine_region="eu-north-1")) == "us-west-2"
    assert region(HandoverPlan(machine_region="eu-north-1")) == "eu-central-1"
    assert region(HandoverPlan(machine_region="eu-north-1"), without_region) == "eu-north-1"
    assert region(HandoverPlan(), without_region) is None


def test_a_required_google_slot_is_redirected_before_it_is_filled() -> None:
    waiting = CredentialSet(generation=1, google=ABSENT)
    plan = HandoverPlan(metadata_host="127.0.0.1:1234", google_required=True)
    assert worker_environment(waiting, plan).environment["GCE_METADATA_HOST"] == Secret("127.0.0.1:1234")


def test_a_closed_google_slot_makes_nobody_believe_that_this_is_google_cloud() -> None:
    found = worker_environment(CredentialSet(generation=1, google=CLOSED), ENVIRONMENT).environment
    assert found["NO_GCE_CHECK"] == Secret("true")
    assert "CPL_MACHINE_IS_GCE" not in found


def test_a_custom_project_names_the_data_where_the_token_names_another() -> None:
    plan = HandoverPlan(metadata_host="127.0.0.1:1234", google_project="billing")
    assert worker_environment(FILLED, plan).environment["GOOGLE_CLOUD_PROJECT"] == Secret("billing")


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_written_or_scrubbed_that_the_list_does_not_name(case: str) -> None:
    """The deny list of custom variables is made of that list: what it misses, a bundle could set."""
    view = worker_environment(*CASES[case])
    touched = {*view.environment, *view.overwrite, *view.scrub} - VARIABLES.values.keys()
    assert touched <= handovers.HANDOVER_VARIABLES


@pytest.mark.parametrize("plan", [ENVIRONMENT, ENDPOINT], ids=["environment", "endpoint"])
def test_keys_and_endpoint_are_never_handed_over_together(plan: HandoverPlan) -> None:
    view = worker_environment(FILLED, plan)
    both = {"AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_FULL_URI"}
    assert len(both & view.environment.keys()) == 1
    assert both - view.environment.keys() <= set(view.scrub)


def test_without_anybody_who_serves_an_endpoint_no_keys_take_its_place() -> None:
    assert "AWS_ACCESS_KEY_ID" not in worker_environment(FILLED, HandoverPlan(aws="endpoint")).environment
    closed = CredentialSet(generation=1, aws=CLOSED)
    assert "AWS_EC2_METADATA_DISABLED" in worker_environment(closed, HandoverPlan(aws="endpoint")).environment


texts = st.text(st.characters(exclude_characters="\0"), max_size=40)


@given(texts)
@example("$HOME `id` 'x' \"y\" \\ #no; !")
@example("ends in a backslash\\")
@example("")
def test_what_survives_comes_back_from_systemd_and_docker_byte_for_byte(text: str) -> None:
    if rendering.survives_env_file(Secret(text)):
        line = f"NAME={text}\n"
        assert as_systemd_reads(line) == {"NAME": text}
        assert as_docker_reads(line) == {"NAME": text}


@pytest.mark.parametrize(
    "text", ["a" * 64, "x=y", "abc/def+ghi==", "p'w\"d", "#no comment", "; either", "ü", "", "a b"]
)
def test_ordinary_values_survive(text: str) -> None:
    assert rendering.survives_env_file(Secret(text))


@pytest.mark.parametrize(
    "text", ["a\nb", " a", "a ", "'a'", '"a', "a\\b", "a\tb\r", "\ud800", "x" * 60_001, "\x7f", "\ufeffa"]
)
def test_values_that_one_of_the_readers_would_change_do_not(text: str) -> None:
    assert not rendering.survives_env_file(Secret(text))


@given(texts)
@example("it's $HOME `id` \\ \n\n")
def test_a_shell_reads_back_every_value(text: str) -> None:
    if not text.isprintable() and "\r" in text:
        return  # the pipe is read as text below
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    script = rendering.shell({"NAME": Secret(text)}) + 'printf %s "$NAME"'
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
