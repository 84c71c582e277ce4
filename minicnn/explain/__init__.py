"""See what a net does: one page that works without a network connection, and the tape of any tensor.

contract.py, contract_net.py   the data of a page, field by field
packing.py                     arrays and values as text
tape.py, drawing.py            the tape of a tensor, and its drawing
page.py, html.py               the page of a net; saved.py: of files and studies
body.py, page.html, words.json  its text, its controls and the sentences that its script completes
net.py, step.py, heads.py, shifts.py, studies.py, walk.py, glance.py   its parts

>>> from minicnn import Tensor, explain
>>> explain.tape((Tensor([1.0, 2.0]) * 3).sum())
Tape(2 ops, 1 arrays)
"""

from typing import TYPE_CHECKING

from minicnn.explain.page import Page, page
from minicnn.explain.saved import page_of, page_of_study
from minicnn.explain.tape import Tape, TapeNode, tape
from minicnn.hints import unknown_names

__all__ = ["Page", "Tape", "TapeNode", "page", "page_of", "page_of_study", "tape"]

if not TYPE_CHECKING:  # with a __getattr__ a type checker accepts every name
    __getattr__ = unknown_names(__name__, __all__, {})
