"""The stages of the pipeline as Dramatiq actors. `actors.worker` is what a worker process loads."""
