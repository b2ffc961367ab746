"""Channels that a cloud keeps, read and written in the helper process.

- `storage_jobs`: which module serves which channel
- `s3_object`, `ssm_parameter`: `s3:` and `aws-ssm:`, with `aws_storage_clients`
- `gcs_object`, `gce_attribute`: `gs:` and `gce-attribute:`
- `ec2_user_data`: `ec2-user-data`, with `bundle_in_user_data` (which part of it is a bundle)
- `https_address`: `https:`
"""
