"""A saved plan as a review: what a change board needs to know of it."""
