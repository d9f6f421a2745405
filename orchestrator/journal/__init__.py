"""The record of a run, which is also its plan and its queue: what it must do is in `base`, how it is kept in `sqlite`."""
