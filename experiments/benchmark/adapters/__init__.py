"""One adapter per framework; see `experiments.benchmark.frameworks.Adapter`.

Several modules are named after the framework that they import. This works because imports are absolute: run them
with ``python -m`` from the root of the project, never as scripts, which would put this directory on the import path.
"""
