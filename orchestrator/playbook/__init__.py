"""Playbooks: as values, their text, what they are given, and the items of their lists."""
