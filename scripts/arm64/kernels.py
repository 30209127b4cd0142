"""Say which kernels the tests will ask for that are not there, in the words of `kernels.build`.

One line for each tier of this CPU: folder, tier, LLVM's name of the CPU after a `=`, features,
triple, and names of kernels.
"""

import sys

sys.path.insert(0, "tests")

from support.kernels import KERNELS, possible_tiers

from localmix.kernels import library

for tier in possible_tiers():
    machine = library.machine_at(tier)
    folder = library.folder_of(machine)
    missing = [name for name in KERNELS if library.read(folder / f"{name}.o") is None]
    if missing:
        what = (machine.tier.label, f"={machine.cpu}", machine.features, machine.triple)
        print(folder, *what, *missing)
