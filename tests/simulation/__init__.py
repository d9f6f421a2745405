"""Runs the real runner, sender, scheduler and journal against servers in memory, in a time that only jumps.

Everything that is left to chance comes from one seed: a schedule that fails can be run again exactly.

    PYTHONHASHSEED=0 python -m tests.simulation --seeds 10000 --from 1
"""
