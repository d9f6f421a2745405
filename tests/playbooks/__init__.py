"""The shipped playbooks: valid and planned without a network, run on a simulated fleet, run on a real ring."""
