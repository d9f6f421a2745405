"""The doveadm commands that the simulator answers, by family."""
