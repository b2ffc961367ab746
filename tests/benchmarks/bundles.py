"""Sealing and opening: beside the bare operations of `cryptography`; the command beside age, where that is on PATH."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from credagent.admission import rules
from credagent.admission.rules import AdmissionPolicy
from credagent.bundle import envelope as grammar
from credagent.bundle import hpke_suites, opening, signature
from credagent.bundle.key_pairs import Kem, RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.sealing import seal, seal_each
from tests.benchmarks import node
from tests.benchmarks.figures import Aim, Figure, in_turn, progress

ENVELOPES, ROUNDS, KEYS = 500, 7, 100
OPENINGS, COMMANDS = 300, 7
BARE = "bare HPKE and Ed25519"
TEN_THOUSAND_IN_TWO_SECONDS, A_MILLISECOND = Aim(200), Aim(1_000)


def figures(installed: node.Installed) -> Iterator[Figure]:
    """Measure as processor time, but for the commands."""
    progress("bundles: sealing")
    yield _sealing()
    for kem in (Kem.X_WING, Kem.X25519):
        progress(f"bundles: opening, {kem.value}")
        yield _opening(kem)
    if shutil.which("age"):
        progress("bundles: credagent seal, and age")
        yield _beside_age(installed)


def _sealing() -> Figure:
    """Seal for many machines, a hundred different keys: making them is not what is measured."""
    sender, letter = SenderPrivateKey.generate(), node.bundle()
    public = [RecipientPrivateKey.generate().public_key for _ in range(KEYS)]
    recipients = [public[number % KEYS] for number in range(ENVELOPES)]
    wrapping = [hpke_suites.encapsulator(one.kem, one.raw) for one in public]

    def ours() -> None:
        for _ in seal_each(letter, recipients, sender):
            pass

    def bare() -> None:
        message, info = bytes(4300), bytes(90)
        for number in range(ENVELOPES):
            hpke_suites.wrap(Kem.X_WING, bytes(32), wrapping[number % KEYS], info)
            sender.sign(message)

    taken = in_turn(ROUNDS, {BARE: lambda: _cpu_us(bare, ENVELOPES), "": lambda: _cpu_us(ours, ENVELOPES)})
    return Figure(
        name="sealing an envelope (X-Wing)",
        unit="µs",
        values=taken[""],
        beside=BARE,
        reference=taken[BARE],
        aim=TEN_THOUSAND_IN_TWO_SECONDS,
    )


def _opening(kem: Kem) -> Figure:
    """Parse, verify the signature, open by HPKE, decode, judge; everything but reading and keeping it."""
    sender, recipient = SenderPrivateKey.generate(), RecipientPrivateKey.generate(kem)
    text = seal(node.bundle(), [recipient.public_key], sender)
    policy = AdmissionPolicy(
        audience=node.AUDIENCE, trusted_senders=frozenset({sender.public_key.raw}), max_age=timedelta(days=1)
    )

    def open_all() -> None:
        for _ in range(OPENINGS):
            now, envelope = datetime.now(UTC), grammar.parse(text)
            signature.verify_signature(envelope)
            rules.before_opening(envelope, policy, {}, None, now)
            opened = opening.open_by(envelope, (recipient,))
            rules.after_opening(envelope, opened.bundle, policy, own_key=True)

    taken = in_turn(ROUNDS, {"": lambda: _cpu_us(open_all, OPENINGS)})
    return Figure(name=f"opening a bundle ({kem.value})", unit="µs", values=taken[""], aim=A_MILLISECOND)


def _beside_age(installed: node.Installed) -> Figure:
    """Seal one variable by the command, and encrypt as many bytes by age."""
    with tempfile.TemporaryDirectory(prefix="credagent-bench-") as folder:
        environ = {**node.clean_environment(), "HOME": folder, "DB_TOKEN": "v" * 1000}
        for role in ("sender", "recipient"):
            command = [*installed.credagent, "keygen", "--role", role, "--out", folder]
            subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        key, plain = Path(folder) / "age.key", Path(folder) / "plain"
        subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
        public = key.read_text().partition("public key: ")[2].split()[0]
        plain.write_text("v" * 1000)
        ours = [*installed.credagent, "seal", "--aws", "none", "--env", "DB_TOKEN", "--audience", "lab"]
        ours += ["--recipient", f"{folder}/recipient.pub", "--sender-key", f"{folder}/sender.key"]
        taken = in_turn(
            COMMANDS,
            {
                "age": lambda: node.timed_ms(["age", "-r", public, "-o", f"{folder}/age.out", str(plain)], environ),
                "": lambda: node.timed_ms(ours, environ),
            },
        )
    ours_ms, age_ms = taken[""], taken["age"]
    return Figure(name="credagent seal, one variable", unit="ms", values=ours_ms, beside="age", reference=age_ms)


def _cpu_us(work: Callable[[], None], times: int) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) / times * 1e6
