"""The race of experiments/speed.py: the same nets in several frameworks, each in a process of its own."""
