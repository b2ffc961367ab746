"""Measurements beside a reference in the same run, in one table and one file. None of them is a test.

`make bench` prints the table and writes `build/bench.json`; what may be compared with what, ADR-02 says.

- `startup`: until ready, until the first answer, and commands that ask a running agent; beside a bare interpreter
- `endpoint`: processor time and latency of a request; beside a bare server, and peers where there are some
- `many_workers`: five hundred subscribers, and how soon a bundle is in all processes of a machine
- `idle`: wake-ups, processor time and memory of an agent that has used every source
- `bundles`: sealing and opening; beside the bare operations, and age where it is installed
- `forwarding`: until the machines of a cluster have confirmed
- `renewals`: ten thousand agents that booted together, by the renewal plan alone
- `figures`: what is measured as values, the table, the file
- `node`: a machine to measure on, and what the kernel counts of a process
"""
