"""The sending side: the identity of this machine becomes a bundle, and a sealed bundle reaches clouds.

attested_bundle: a sealed bundle with its sender's attestation beside it
bundle_draft: looks at the identity, takes a number, composes; and says what is in it
cloudprovider_options: what dask-cloudprovider needs so that its workers find credentials
jobqueue_options: what dask-jobqueue needs so that the workers of batch jobs find credentials
compose_bundle: options and identity to statements, grants and not_after (pure)
deliver_to_cloud: writes a sealed bundle to s3://, gs:// or aws-ssm:
grant_options: what is to be sent, as one frozen value
local_identity: the identity of this machine, asked of the helper process
preload: the address by which users' Dask configurations name the client preload
recipients: public keys and KMS names, as people write them
sequence_number: the number that orders a sender's bundles, and the file that keeps it
signing_key: the sender's key on disk
"""
