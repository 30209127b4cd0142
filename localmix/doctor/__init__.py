"""What this machine has, and what is wrong with it.

    checks.py             what a finding is, and how a look never fails
    machine.py            Python, processor, cores, memory, disks
    kernels.py            Numba, and the cache of compiled kernels
    store.py              models: what is cut, missing, on its way
    records.py            small files: names, settings, history, what a crash left
    network.py            is the Hub there?
    settings_in_force.py  every setting, its value and where it comes from
    private.py            what must not be shown, and what not be told to others
    examine.py            all of it, in order; what can be mended
    report.py             the same as JSON, and as text for an issue

Every part is looked at by itself, so that what is broken never hides the rest. Nothing is written
before somebody asks for it, and no model or conversation is ever deleted. Nothing here knows a
terminal.
"""
