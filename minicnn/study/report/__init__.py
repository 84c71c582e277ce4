"""The report of a study: an HTML page, the same in Markdown, pictures and tables as files.

build.py          collects the parts of a report from results
figures.py        which figures there are, with their captions
page.py           the page, from the template report.html.jinja, and its Markdown
words.py          sentences for verdicts, numbers and names as text
tables.py         the tables
style.py          colours and panels; forest.py, curves.py, pictures.py draw; label_layout.py places labels
maps.py           contributions to the score of a class
"""
