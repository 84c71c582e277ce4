"""Poolings from the literature and for research: not needed to read or to train an ordinary CNN."""
