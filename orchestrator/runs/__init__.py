"""What can be done with runs: plan, start, apply, resume, retry, decide, follow. Calls that take values and give a Report.

Nothing here prints, asks a terminal, or knows a command line: every face of the product, and other people's programs, call these.
"""
