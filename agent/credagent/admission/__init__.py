"""Which bundles take force, what is remembered of them, and which keys open bundles here.

admission_state: the frozen state, and the pure steps to the next one: admit a bundle, judge anew what is kept
attested_senders: senders that are trusted by what a cloud says of their keys
bundle_admission: that state in a running agent, with clock, file and log
deferred_opening: opens with the keys that are here, and asks key services apart from that
denied_variables: names of variables that would change how programs run
kms_recipient_key: a recipient key that AWS KMS or Google KMS holds; `bundle/kms_reference` says how it is named
machine_key: the machine's own key: made, bound to the machine, rotated, kept
recipient_keyring: all keys that open bundles here: the machine's own, and the configured ones
rules: the judgement of one bundle, before and after it is opened
state_file: the sealed bundles and replay marks that survive a restart
trust_file: the senders that are trusted, listed in the configuration or in a file
"""
