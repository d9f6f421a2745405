"""Every command against real servers: what `orchestrator exec` says of Dovecot 2.3 and of 2.4."""
