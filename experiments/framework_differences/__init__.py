"""Differences between Keras, PyTorch and ONNX: ``python -m experiments.framework_differences`` prints them.

answers.py has what each framework computes for a 4x4 image, and the call of minicnn that computes the same.
"""
