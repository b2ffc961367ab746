"""Which variables a worker gets and loses, and in which form.

- `rendering`: a credential set and a plan of handovers become a worker's view
- `handover_variables`: the names that each handover writes and scrubs
- `vendor_documents`: credentials in the documents of AWS's and Google's protocols
- `formats`: an environment as text for shells and people
- `env_file`: the text of worker.env, and the one writer here, which puts it in its place
"""
