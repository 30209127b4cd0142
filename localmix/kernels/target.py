"""The tier that this process compiles for: a constant of everything that it compiles."""

from localmix import settings
from localmix.kernels import isa

TIER = isa.tier_named(settings.isa() or "generic")
