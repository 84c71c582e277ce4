"""Studies: arms that differ in one thing, repeated over seeds, and what they say."""
