"""Training: one step, many steps, evaluation, callbacks, parameters on disk."""

from typing import TYPE_CHECKING

from minicnn.hints import unknown_names
from minicnn.train.callbacks import BestWeights, CSVLog, EarlyStopping, Moment
from minicnn.train.checkpoint import load, load_metadata, load_net, save
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
    "load_metadata",
    "load_net",
    "predict",
    "save",
    "train_step",
]

_HABITS = {
    "ModelCheckpoint": "train.BestWeights",
    "CSVLogger": "train.CSVLog",
}

if not TYPE_CHECKING:  # with a __getattr__ a type checker accepts every name
    __getattr__ = unknown_names(__name__, __all__, _HABITS)
