"""The fleet: its configuration, its hosts, and selections of them."""
