"""Proofs of attestations, made by the machine's or the sender's identity and verified by asking its cloud.

attestation_jobs: which cloud makes a proof here, and the verification of several at once
aws_proof: a signed request of sts:GetCallerIdentity, reduced to what its verifier cannot know
aws_verification: rebuilds that request and asks AWS
google_proof: an identity token of this machine, or of a service account
google_verification: a token against Google's published keys
google_certificates: Google's published keys, and how long they may be kept
strict_json: an answer that is evidence, read in the one way
sts_host: the host of STS in a region, by botocore's partitions
"""
