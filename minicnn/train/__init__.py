"""Training: one step, many steps, evaluation, callbacks, parameters on disk."""

from minicnn.train.callbacks import BestWeights, CSVLog, EarlyStopping, Moment
from minicnn.train.checkpoint import load, save
from minicnn.train.history import History
from minicnn.train.loop import Evaluation, Result, calibrate, evaluate, fit, predict, train_step

__all__ = [
    "BestWeights",
    "CSVLog",
    "EarlyStopping",
    "Evaluation",
    "History",
    "Moment",
    "Result",
    "calibrate",
    "evaluate",
    "fit",
    "load",
    "predict",
    "save",
    "train_step",
]
