"""`credagent exec`: a program with credentials in its environment, and the agent beside it where the machine has none.

run_program: the composition root

The client, all that is loaded where an agent runs already and the program takes this process's place:

agent_subscription: the program's end of the agent's socket, and which set is complete
agent_wait: waits for an agent and for the set to start with, within one time limit
program_start: one start of a program: how long it waits, which environment it gets
dask_preload: the variables by which Dask loads the worker's side
closed_environment: what a program gets where no agent answers
child_process: starts the program, as itself or as another user; signals it and ends it

The supervisor, as PID 1 and where renewals or an agent of its own are to be looked after:

supervisor: stays beside the program until its end
renewal_action: what happens to the program at a renewal
process_tree: ends everything that a program has left running

The agent beside the program, where the machine has none:

own_agent: how it is made
shared_agent: which agent supplies the program, and taking over when another `exec` took its agent along
embedded_agent: the agent as a forked process that comes back when it crashes
stand_by: holds the listening sockets of the agent that runs, and sees its end
"""
