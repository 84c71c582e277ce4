"""Benchmark: the same networks trained and evaluated by several frameworks, each in its own process.

__main__.py    the command line: ``python -m experiments.benchmark``
tasks.py       the networks, image sizes and batch sizes that are measured
frameworks.py  the frameworks, with the adapter and the environment variables of each
adapters/      one module per framework: builds a minicnn network in that framework and trains it
problem.py     weights, batches and the float64 results that every adapter has to reproduce
worker.py      the process that runs one adapter
rounds.py      interleaved rounds: the frameworks are measured in turns
measures.py    peak memory, scaling, import time and time to a given accuracy
table.py       ratios of step times, as Markdown; figure.py draws them
"""
