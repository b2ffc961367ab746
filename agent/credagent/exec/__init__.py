"""`credagent exec`: a program with credentials in its environment, and the agent beside it where the machine has none.

agent_subscription: the program's end of the agent's socket, and which set is complete
agent_wait: waits for an agent and for the set to start with, within one time limit
child_process: starts the program, as itself or as another user; signals it and ends it
closed_environment: what a program gets where no agent answers
dask_preload: the variables by which Dask loads the worker's side
embedded_agent: the agent as a forked process that comes back when it crashes
process_tree: ends everything that a program has left running
program_start: one start of a program: how long it waits, which environment it gets
renewal_action: what happens to the program at a renewal
run_program: the composition root of `exec`
shared_agent: which agent supplies the program, and taking over when another `exec` took its agent along
stand_by: holds the listening sockets of the agent that runs, and sees its end
supervisor: stays beside the program until its end
"""
