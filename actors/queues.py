"""The names of the queues, and which process serves which."""

EXTRACT, LOG, EVALUATE, RUNS = "extract", "log", "evaluate", "runs"
WORKER_QUEUES = (EXTRACT, LOG, EVALUATE)
#: Scoring history never holds up what comes in.
EVALS_QUEUES = (RUNS,)
