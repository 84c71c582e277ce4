"""Is what a lesson about pooling says true of small nets, and by how much?

claim.py     a claim, its effects and the rule from effects to a verdict
lesson.py    the eight claims, each with its study or its measurement
nets.py      data, recipe and nets of the claims, for each data set
measures.py  what pooled maps keep, accuracy on a bright background and at the border
speed.py     times of nets, measured in turn
report.py    the claims as a table, Markdown, CSV and a picture
__main__.py  the command line
"""
