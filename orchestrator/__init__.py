"""Bulk operations on Dovecot fleets: playbooks, plans, durable runs, over the doveadm HTTP API.

config.yaml (hosts) + playbook.yaml (steps) + values -> plan -> run file <-> runner -> dovecot.client -> hosts;
run file -> report -> views.
"""

__version__ = "0.1.0"
