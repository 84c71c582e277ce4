"""A small CNN as a scikit-learn classifier: `CNNClassifier`.

classifier.py   the estimator
rows.py         rows of features as images, their scale, and blocks of equal size
"""

from minicnn.estimator.classifier import CNNClassifier

__all__ = ["CNNClassifier"]
