"""Running a plan: what to send next, and sending it."""
