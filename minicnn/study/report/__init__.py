"""The report of a study: tables, sentences, figures and an HTML page.

tables.py         the summary as text, as Markdown and as cells
sentences.py      the findings as sentences
figures.py        learning curves, accuracy against cost, paired differences
label_layout.py   placement of labels in the figures
html.py           all of these on one page, from the template report.html.jinja
"""
