"""Everything that can go wrong for a user, as types.

    LocalmixError               message and hint: what happened, what to type next
    ├── ModelNotFound           no model of that name, here or in the catalog
    ├── NotPulled               the name is known, its file is not on this machine
    ├── DownloadFailed          the Hub did not give the file
    ├── ChecksumMismatch        the file on disk is not the file that was promised
    ├── NotEnoughDisk           no room for a download
    ├── NotEnoughMemory         no room for the cache or the weights
    ├── InvalidGGUF             the file is damaged or is no GGUF file
    ├── UnsupportedModel        a sound file of an architecture that localmix cannot run
    ├── UnsupportedQuant        a block format that localmix cannot read or multiply
    ├── ContextFull             the prompt does not fit the context
    └── TemplateError           the chat template cannot render these messages

The library raises these for whatever a user or a file can cause; `assert` is kept for our own
laws. Only `localmix.cli.errors` turns them into text and exit codes.
"""


class LocalmixError(Exception):
    """Base of every error that localmix raises on purpose.

    Attributes:
        message: one sentence, without a trailing period, that says what is wrong.
        hint: what to do next, often a command; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ModelNotFound(LocalmixError):
    """No model of that name exists, on this machine or in the catalog."""


class NotPulled(LocalmixError):
    """The name is known but its file has not been downloaded."""


class DownloadFailed(LocalmixError):
    """A download could not be finished."""


class ChecksumMismatch(LocalmixError):
    """A downloaded file does not have the SHA-256 that the Hub states."""


class NotEnoughDisk(LocalmixError):
    """The disk has no room for a download."""


class NotEnoughMemory(LocalmixError):
    """The machine has no room for what a run needs."""


class InvalidGGUF(LocalmixError):
    """The file is damaged, cut, or not a GGUF file at all."""


class UnsupportedModel(LocalmixError):
    """The file is sound, but localmix cannot run its architecture."""


class UnsupportedQuant(LocalmixError):
    """A tensor has a block format that localmix cannot read."""


class ContextFull(LocalmixError):
    """The prompt, or the text so far, does not fit the context."""


class TemplateError(LocalmixError):
    """The model's chat template cannot render these messages."""
