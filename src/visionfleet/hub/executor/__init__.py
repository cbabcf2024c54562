"""The executor `kubernetes`: the workers of each job are the pods of a Job of the cluster.

Nothing is kept in memory. Every round reads the Jobs by their labels and the stages from the database, and does what is
still to be done: a hub that was restarted goes on with the Jobs that run, and two hubs may do the same round at once.

The hub's service account needs, in its own namespace, `create`, `delete`, `list` and `patch` of batch/jobs, `list` of
pods and of events, and `get` of podtemplates; and `list` of Kueue's workloads, to say what a Job waits for. It reads no
secret, and touches no Job but those with its labels.
"""

from visionfleet.hub.executor.thread import Executor, executor_of

__all__ = ["Executor", "executor_of"]
