"""Bulk operations on Dovecot fleets: playbooks, plans, durable runs, over the doveadm HTTP API.

    config.yaml   -> Config, Inventory
    playbook.yaml -> Playbook             > plan -> run file <-> runner -> dovecot.client -> hosts
    values (-e)
                                                  report -> views
"""

__version__ = "0.1.0"
