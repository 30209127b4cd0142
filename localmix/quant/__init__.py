"""Block formats: how weights are packed in a model file, and how to unpack them."""

from localmix.quant.formats import FORMATS, BlockFormat, format_by_id, format_by_name
from localmix.quant.reference import dequantize

__all__ = ["FORMATS", "BlockFormat", "dequantize", "format_by_id", "format_by_name"]
