"""Keys that a cloud's key service holds, asked in the helper process.

The other places that know of them: `bundle.kms_reference` (the names `aws-kms:ARN` and `gcp-kms:NAME`),
`bundle.content_key_wrapping` (what is bound to a wrapped key), `admission.kms_recipient_key` (the agent's opener),
`sender.recipients` (the sender's wrapping).

- `kms_jobs`: chooses the service by the key's name
- `aws_kms`: kms:Encrypt and kms:Decrypt with an encryption context
- `google_kms`: encrypt and decrypt with additional authenticated data
- `crc32c`: the checksum that Google KMS wants
"""
