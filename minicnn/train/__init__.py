"""Training: one step, many steps, evaluation, callbacks, parameters on disk."""

from minicnn.train.callbacks import BestWeights, CSVLog, EarlyStopping, Moment
from minicnn.train.checkpoint import load, save
from minicnn.train.evaluation import Evaluation, calibrate, evaluate, predict
from minicnn.train.history import History, Result
from minicnn.train.loop import fit, train_step

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
