"""The machine's keys: made once, bound to the machine, read from where the configuration says, never guessed."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from credagent.admission import machine_key, recipient_keyring, state_file, trust_file
from credagent.bundle.contents import Bundle
from credagent.bundle.key_pairs import Kem, RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.sealing import new_bundle_id, seal
from credagent.bundle.timestamps import microseconds_of
from credagent.credentials import Slot, Statement
from credagent.errors import ConfigurationError, CredagentError, PermissionRefused


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a state folder on a machine of a known id."""
    machine_id = tmp_path / "machine-id"
    machine_id.write_text("one\n")
    monkeypatch.setattr(machine_key, "MACHINE_ID_FILES", (str(machine_id),))
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


def no_cloud(spec: str) -> NoReturn:
    raise AssertionError(spec)


def own(state: Path) -> recipient_keyring.Keyring:
    return recipient_keyring.load(("state",), str(state), {}, no_cloud)


def test_the_first_start_makes_a_private_key_and_the_next_one_finds_it(state: Path) -> None:
    assert not machine_key.exists(str(state))
    first = own(state)
    assert first.own is not None
    assert first.own.public_key.kem is Kem.X_WING
    assert stat.S_IMODE((state / machine_key.KEY_FILE).stat().st_mode) == 0o600
    second = own(state)
    assert second.own is not None
    assert second.own.key_id == first.own.key_id
    assert second.own_ids == {first.own.recipient_id}


def test_a_cloned_machine_makes_a_key_of_its_own_and_forgets_the_other(state: Path, tmp_path: Path) -> None:
    first = own(state)
    machine_key.rotate(str(state))
    (tmp_path / "machine-id").write_text("two\n")
    cloned = own(state)
    assert cloned.own is not None
    assert first.own is not None
    assert first.own.recipient_id not in cloned.own_ids
    assert len(cloned.openers) == 1


def test_a_key_that_was_put_there_is_bound_to_the_machine_that_first_reads_it(state: Path, tmp_path: Path) -> None:
    given = RecipientPrivateKey.generate()
    _write(state / machine_key.KEY_FILE, given)
    assert own(state).own_ids == {given.recipient_id}
    (tmp_path / "machine-id").write_text("two\n")
    assert own(state).own_ids != {given.recipient_id}


def test_after_a_rotation_both_keys_open_and_the_new_one_is_shown(state: Path) -> None:
    before = own(state)
    new = machine_key.rotate(str(state))
    after = own(state)
    assert before.own is not None
    assert after.own is not None
    assert after.own.key_id == new.key_id
    assert after.own_ids == {before.own.recipient_id, new.recipient_id}


def test_a_month_after_a_rotation_the_old_key_opens_nothing_and_is_removed(state: Path) -> None:
    own(state)
    new = machine_key.rotate(str(state))
    old = state / machine_key.PREVIOUS_FILE
    past = old.stat().st_mtime - machine_key.PREVIOUS_KEPT_S - 1
    os.utime(old, (past, past))
    looked = recipient_keyring.load(("state",), str(state), {}, no_cloud, writes=False)
    assert looked.own_ids == {new.recipient_id}
    assert old.exists()  # who only looks changes nothing
    assert own(state).own_ids == {new.recipient_id}
    assert not old.exists()


def test_each_of_many_rotations_leaves_every_earlier_key(state: Path) -> None:
    ids = {own(state).own_ids}
    for _ in range(3):
        ids.add(frozenset({machine_key.rotate(str(state)).recipient_id}))
        own(state)  # as a reload does
    assert own(state).own_ids == frozenset().union(*ids)


def test_a_rotation_that_is_repeated_after_a_crash_loses_no_key(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = own(state)
    machine_key.rotate(str(state))
    second = own(state)

    def crash(*_: object) -> NoReturn:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(machine_key, "_make_key", crash)
        with pytest.raises(SystemExit):
            machine_key.rotate(str(state))
    assert own(state).own_ids == second.own_ids
    third = machine_key.rotate(str(state))
    assert own(state).own_ids == {*second.own_ids, third.recipient_id}
    assert first.own_ids < own(state).own_ids


@pytest.mark.parametrize("content", ["", "\n", "uninitialized\n", None])
def test_a_start_without_a_machine_id_keeps_the_key_and_what_it_is_bound_to(
    state: Path, tmp_path: Path, content: str | None
) -> None:
    machine_id, first = tmp_path / "machine-id", own(state)
    machine_key.rotate(str(state))
    rotated = own(state)
    machine_id.unlink()
    if content is not None:
        machine_id.write_text(content)
    assert own(state).own_ids == rotated.own_ids
    machine_id.write_text("one\n")
    assert own(state).own_ids == rotated.own_ids
    machine_id.write_text("two\n")
    assert not own(state).own_ids & (first.own_ids | rotated.own_ids)


def test_a_key_that_was_made_without_a_machine_id_is_not_the_key_of_whatever_machine_comes(
    state: Path, tmp_path: Path
) -> None:
    """An image whose template had no id is copied to machines that have one."""
    (tmp_path / "machine-id").write_text("")
    template = own(state)
    (tmp_path / "machine-id").write_text("two\n")
    assert not own(state).own_ids & template.own_ids


def test_keys_of_files_and_of_systemd_are_shared_ones(state: Path, tmp_path: Path) -> None:
    key = RecipientPrivateKey.generate(Kem.X25519)
    _write(tmp_path / "shared.key", key)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    specs = (f"file:{tmp_path}/shared.key", "credential:shared.key")
    found = recipient_keyring.load(specs, str(state), environ, no_cloud)
    assert [opener.recipient_id for opener in found.openers] == [key.recipient_id] * 2
    assert (found.own, found.own_ids) == (None, frozenset())


def test_a_cloud_is_asked_for_nothing_yet(state: Path) -> None:
    key = RecipientPrivateKey.generate(Kem.X25519)
    found = recipient_keyring.load(("aws-kms:arn:x",), str(state), {}, lambda _: key)
    assert found.openers == (key,)


@pytest.mark.parametrize(
    ("content", "mode", "code"),
    [("nonsense", 0o600, ConfigurationError), (None, 0o644, PermissionRefused), (None, 0o640, PermissionRefused)],
)
def test_a_key_that_is_none_or_open_is_refused_by_name(
    state: Path, tmp_path: Path, content: str | None, mode: int, code: type[CredagentError]
) -> None:
    path = tmp_path / "a.key"
    _write(path, RecipientPrivateKey.generate())
    if content is not None:
        path.write_text(content)
    path.chmod(mode)
    with pytest.raises(code) as raised:
        recipient_keyring.load((f"file:{path}",), str(state), {}, no_cloud)
    assert str(path) in str(raised.value)


def test_a_missing_key_file_and_a_missing_credential_say_what_to_do(state: Path) -> None:
    for spec in ("file:/nonexistent/key", "credential:key"):
        with pytest.raises(ConfigurationError) as raised:
            recipient_keyring.load((spec,), str(state), {}, no_cloud)
        assert raised.value.hint


def test_trusted_senders_are_lines_here_or_in_a_file_with_comments(tmp_path: Path) -> None:
    one, two = SenderPrivateKey.generate().public_key, SenderPrivateKey.generate().public_key
    file = tmp_path / "trusted"
    file.write_text(f"# the laptop\n{one.line} ana\n\n")
    file.chmod(0o644)
    named = {one.raw: "ana", two.raw: "bo at work"}
    assert trust_file.trusted_senders((f"file:{file}", f"{two.line} bo at work")) == named
    assert trust_file.trusted_senders(()) == {}
    file.chmod(0o666)
    with pytest.raises(PermissionRefused):
        trust_file.trusted_senders((f"file:{file}",))


def test_a_placeholder_that_somebody_left_is_found_by_the_key_that_holds_it(tmp_path: Path) -> None:
    file = tmp_path / "trusted"
    file.write_text("credagent-sender:ed25519:YOURS\n")
    for spec in ("credagent-sender:ed25519:YOURS", f"file:{file}"):
        with pytest.raises(ConfigurationError) as raised:
            trust_file.trusted_senders((spec,))
        assert raised.value.what.startswith("bundle.trusted_senders")
        assert (str(file) in raised.value.what) is spec.startswith("file:")


def _write(path: Path, key: RecipientPrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_text(key.to_text().reveal() + "\n")


def test_the_old_key_stays_as_long_as_what_is_in_force_was_sealed_to_it(state: Path) -> None:
    """A bundle without end of its own is in force for 30 days, and made anew each day by a sender that is late."""
    before = own(state).own
    assert before is not None
    sealed = _sealed_to(before)
    machine_key.rotate(str(state))
    old = state / machine_key.PREVIOUS_FILE
    past = old.stat().st_mtime - machine_key.PREVIOUS_KEPT_S - 1
    os.utime(old, (past, past))
    _, save = state_file.load_and_save(str(state), writes=True)
    for kept in (state_file.SavedState(bundle=sealed), state_file.SavedState(earlier={Slot.AWS: sealed})):
        save(kept)
        assert before.recipient_id in own(state).own_ids
        assert old.exists()
    save(state_file.SavedState())
    assert before.recipient_id not in own(state).own_ids
    assert not old.exists()


def _sealed_to(key: RecipientPrivateKey) -> str:
    now = datetime.now(UTC)
    bundle = Bundle(
        bundle_id=new_bundle_id(),
        sequence=microseconds_of(now),
        audience="lab",
        issued_at=now,
        not_after=now + timedelta(days=30),
        slots=dict.fromkeys(Slot, Statement.DECLINED),
        grants=(),
    )
    return seal(bundle, [key.public_key], SenderPrivateKey.generate())
