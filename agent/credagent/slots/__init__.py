"""What each slot holds: which source it uses, when that is renewed, and the credential set that workers see.

allowed_targets: what a bundle may do with the machine's own identity
controller: runs one slot: waits, attempts, publishes
credential_resolver: the way from what channels bring to one credential set
credential_store: the credential set in force, and who is told of it
decision_reasons: the decision of the precedence table in words
desired_slot: what a slot should hold, by bundles, channels and configuration
precedence: the precedence table as one pure function
refusal_log: the bundles that were refused
renewal_schedule: when to renew, when to try again, when to warn; every pause is decided here
slot_state: one slot as a frozen state, and the pure steps to the next one
source_fetcher: a source becomes a question to the helper process, and its answer what a slot holds
source_state: one source, and what came of it so far
"""
