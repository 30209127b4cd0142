"""What one pass is fed (`batch.py`) and where its keys and values live (`ring.py`)."""

from localmix.cache.batch import Batch, token_ids
from localmix.cache.ring import RingCache

__all__ = ["Batch", "RingCache", "token_ids"]
