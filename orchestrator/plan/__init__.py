"""What will be done: a playbook, an inventory and values become steps in order, each with its operations. Pure, and repeatable.

What earlier answers decide is not guessed: such a step stands in the plan as "known at run time", with the names that
it depends on, and is expanded by the same function once they are known.
"""
