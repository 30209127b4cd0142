"""Reading files past the system's page cache: what we keep ourselves need not be kept twice.

Each system has its own way. Linux and Windows want reads that begin and end at a multiple of
`SECTOR`, in the file and in memory; macOS takes any. Sources: Linux, open(2), O_DIRECT; macOS,
fcntl(2), F_NOCACHE; Microsoft, "File Buffering", FILE_FLAG_NO_BUFFERING.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import sys
from io import FileIO
from pathlib import Path

SECTOR = max(4096, mmap.PAGESIZE)
"""Direct reads begin and end at a multiple of it, in the file and in memory.

Linux and Windows ask for sectors of the disk. Whole pages of the system, of 16 KB on Apple silicon,
suit one that reads past its cache by pages.
"""

_READ, _SHARE_ALL, _IF_IT_EXISTS, _NO_BUFFERING = 0x80000000, 7, 3, 0x20000000
"""GENERIC_READ, FILE_SHARE_*, OPEN_EXISTING and FILE_FLAG_NO_BUFFERING of Windows."""


def open_past_the_page_cache(path: Path) -> FileIO:
    """Open a file for reads that the system keeps no copy of, where it can."""
    try:
        file = FileIO(path, opener=_open_directly)
    except OSError:  # a file system in memory, for example; if nothing can open it, that is said
        file = FileIO(path)
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):  # a file system that cannot
            do_not_keep(file.fileno())
    return file


def do_not_keep(file: int) -> None:
    """Ask the system to keep no copy of what is read and written here; to be said before and after.

    Linux forgets what has been written until now, macOS what will be; Windows does neither.

    Args:
        file: a descriptor.
    """
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(file, fcntl.F_NOCACHE, 1)
    elif sys.platform == "linux":
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def _open_directly(name: str, flags: int) -> int:
    """Open a file so that reads go to the disk -> a descriptor.

    Raises:
        OSError: it cannot be opened so.
    """
    if sys.platform == "win32":
        import msvcrt
        from ctypes import wintypes

        create = ctypes.WinDLL("kernel32").CreateFileW
        create.restype = wintypes.HANDLE
        number, pointer = wintypes.DWORD, ctypes.c_void_p
        create.argtypes = [wintypes.LPCWSTR, number, number, pointer, number, number, pointer]
        handle = create(name, _READ, _SHARE_ALL, None, _IF_IT_EXISTS, _NO_BUFFERING, None)
        if handle in (None, ctypes.c_void_p(-1).value):
            raise OSError(f"{name} cannot be opened without the cache")
        file = msvcrt.open_osfhandle(handle, os.O_RDONLY)
    else:
        file = os.open(name, flags | getattr(os, "O_DIRECT", 0))
    return file
