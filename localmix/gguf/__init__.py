"""GGUF model files: keys and tensors of one file or of a set of shards."""

from localmix.gguf.file import GGUFFile
from localmix.gguf.metadata import Metadata
from localmix.gguf.tensor import Tensor, resident

__all__ = ["GGUFFile", "Metadata", "Tensor", "resident"]
