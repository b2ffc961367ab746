"""Opening a bundle: parse, verify the signature, open by HPKE, decode, judge; everything but reading and keeping it."""

import statistics
import time
from datetime import UTC, datetime, timedelta

from credagent.admission import rules
from credagent.admission.rules import AdmissionPolicy
from credagent.bundle import envelope as grammar
from credagent.bundle import opening, signature
from credagent.bundle.key_pairs import Kem, RecipientPrivateKey, SenderPrivateKey
from credagent.bundle.sealing import seal
from tests.benchmarks import node

RUNS = 2_000
AIM_US = 1_000


def main() -> None:
    """Measure an ordinary bundle, a session and twenty variables, sealed to one recipient, for each kind of key."""
    bare = statistics.median(node.bare_ms() for _ in range(9))
    print(f"{'bare interpreter':<24} {bare * 1000:6.0f} µs, for the speed of this machine now")
    print(f"{'':<24} {'median':>9} {'fastest':>9} {'slowest of a hundred':>22}")
    for kem in (Kem.X_WING, Kem.X25519):
        sender, recipient = SenderPrivateKey.generate(), RecipientPrivateKey.generate(kem)
        text = seal(node.bundle(), [recipient.public_key], sender)
        policy = AdmissionPolicy(
            audience=node.AUDIENCE, trusted_senders=frozenset({sender.public_key.raw}), max_age=timedelta(days=1)
        )
        taken = sorted(_open_us(text, recipient, policy) for _ in range(RUNS))
        name = f"{kem.value}, {len(text)} bytes"
        print(f"{name:<24} {statistics.median(taken):6.0f} µs {taken[0]:6.0f} µs {taken[RUNS * 99 // 100]:19.0f} µs")
    print(f"aim: median below {AIM_US} µs where a bare interpreter takes 8,700 µs")


def _open_us(text: str, recipient: RecipientPrivateKey, policy: AdmissionPolicy) -> float:
    now = datetime.now(UTC)
    began = time.perf_counter()
    envelope = grammar.parse(text)
    signature.verify_signature(envelope)
    rules.before_opening(envelope, policy, {}, None, now)
    opened = opening.open_by(envelope, (recipient,))
    rules.after_opening(envelope, opened.bundle, policy, own_key=True)
    return (time.perf_counter() - began) * 1e6


if __name__ == "__main__":
    main()
