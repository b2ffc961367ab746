"""One module for each command: what it takes (`add_arguments`), and what it does (`run`, the exit status).

check_config: explains the configuration
credential_process: answers as an AWS `credential_process`
deliver: puts a sealed bundle on a channel
doctor: checks this machine from end to end
env: shows what a worker would get now
exec: runs a program with credentials
explain: explains an error code, a log event or an exit status
forward: keeps a running Dask cluster supplied
inspect: shows what a sealed bundle says, never its values
keygen: makes the key of a sender or of a recipient
public_key: prints the public key of this machine, or of a key file
renew: renews now
rotate_key: makes this machine a new recipient key
run: the daemon
seal: makes a sealed bundle
status: shows what each slot holds, where from and until when
trust: adds a sender to the trust file
whoami: shows which identity would be forwarded
withdraw: makes a bundle that takes credentials back
worker_path: prints the folder of the worker's module
"""
