"""What is seen of this machine without changing anything: facts for `doctor` and `whoami --worker`, judged elsewhere.

agent_answers: what the agent says, or how it keeps silent
collection: all probes at once, each with its time
deadlines: probes beside each other, and an answer in time whichever of them hangs
machine: the instance, its metadata service and its clock
paths: folders and files: owners, modes, file systems, room
process_reading: what the kernel and the file system show of a process, without any value
processes: Dask processes, what supplied ones have in their environment, homes
system: systemd's units, ports that somebody else holds, other agents, inotify, containers
"""
