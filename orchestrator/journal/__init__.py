"""The run file: one SQLite file that is the plan, the queue and the record of a run."""
