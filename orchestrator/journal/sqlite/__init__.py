"""Runs as SQLite files, one a run: the plan, the queue and the record in one file."""
