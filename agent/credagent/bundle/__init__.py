"""The sealed bundle: its contents, its one encoding, its keys, sealing and opening. FORMAT.md is the specification.

base64url: the one text for bytes, without padding
canonical_json: the one JSON text for a value
content_key_wrapping: what wraps and opens a content key (Protocols), and what that is bound to
contents: the bundle in clear, as types
decoder: plaintext to bundle, strictly
envelope: the grammar of an envelope, text to parts and back
fingerprint: how a key is shown where people compare it by eye
hpke_suites: the two key encapsulations
key_pairs: the keys of senders and recipients, and their lines
kms_reference: the names of keys that a cloud holds
opening: envelope to bundle
refusal_codes: the classes of failure, each with its hint
sealing: bundle to envelope
signature: what is signed and how it is verified
timestamps: the one text for a time
validation: what a bundle must fulfil beyond its types
vectors/: published examples, good and bad
"""
