"""The race of experiments/benchmark: the same nets in several frameworks, each in a process of its own."""
