"""The chaos harness: real processes that are killed, starved and lied to, and set algebra over what is left.

`system` runs an Ingate with servers of its own, `load` sends to it, `faults` breaks it, `check` compares what was
answered 202 with what is stored. `injection` is what a launched process does to itself: no product code knows of it.
"""
