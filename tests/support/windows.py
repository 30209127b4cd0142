"""Files as Windows has them: one that a program keeps open is neither deleted nor replaced."""

import errno
import ssl
from pathlib import Path


class OpenFiles:
    """Refuses to delete or replace files that are said to be open.

    Attributes:
        paths: of the open files.
        n_refused: how often something was refused.
        closes_after: refusals after which the files are closed; None: never.
    """

    def __init__(self, monkeypatch):
        self.paths, self.n_refused, self.closes_after = set(), 0, None
        unlink, replace = Path.unlink, Path.replace

        def careful_unlink(path, missing_ok=False):
            self._check(path)
            unlink(path, missing_ok=missing_ok)

        def careful_replace(path, target):
            self._check(path)
            self._check(Path(target))
            return replace(path, target)

        monkeypatch.setattr(Path, "unlink", careful_unlink)
        monkeypatch.setattr(Path, "replace", careful_replace)
        monkeypatch.setattr("sys.platform", "win32")
        # Python would ask Windows for its certificates.
        monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda self, purpose=None: None)

    def _check(self, path):
        if path in self.paths:
            self.n_refused += 1
            if self.n_refused == self.closes_after:
                self.paths = set()
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(path))
