"""Small mistakes, made one at a time in the modules that decide and in the journal: do the nearest tests notice?"""
