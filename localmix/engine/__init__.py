"""The Python interface: a path becomes a `Model`, a prompt becomes a stream of pieces."""

from localmix.engine.generate import Completion, Generation, Piece
from localmix.engine.load import load_file
from localmix.engine.model import Model
from localmix.engine.stats import Stats

__all__ = ["Completion", "Generation", "Model", "Piece", "Stats", "load_file"]
