"""Which bundles take force, what is remembered of them, and which keys open bundles here.

admission_state: the frozen state, and the pure steps to the next one: admit a bundle, judge anew what is kept
bundle_admission: that state in a running agent, with clock, file and log
deferred_opening: opens with the keys that are here, and asks key services apart from that
denied_variables: names of variables that would change how programs run
kms_recipient_key: a recipient key that AWS KMS or Google KMS holds; `bundle/kms_reference` says how it is named
recipient_keyring: the machine's own key, its rotation, the configured keys, and the senders that are trusted
rules: the judgement of one bundle, before and after it is opened
trust_file: whom `credagent trust` has added
state_file: the sealed bundles and replay marks that survive a restart
"""
