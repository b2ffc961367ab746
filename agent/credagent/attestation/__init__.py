"""What a cloud says, freshly and for one key, of a machine or of a sender; FORMAT.md beside this is the specification.

statement: what an attestation is bound to: a key, an audience, a purpose, a number
proof: its text, and the few parts that a verifier reads of it
identity: whose a proof is by the cloud's own answer, and how that is said
identity_pattern: the identities by which a machine trusts senders
policy: which machines may be sealed to
refusal_codes: why an attestation is not believed, each with its hint

No SDK, clock, file or network is here: proofs are made and verified in `cloud_helper.attestation`, when that happens is
decided in `daemon` and `forwarder`.
"""
