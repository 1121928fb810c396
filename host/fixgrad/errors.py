"""Every error a user can meet: one class a cause, one exit code a class.

A message is one line: what happened with the value, the likely cause, what to type next.
The command line prints it and leaves with `exit_code`; nothing else prints errors.
"""


class FixgradError(Exception):
    """Base of every error that is reported to the user in one line."""

    exit_code = 1


class UsageError(FixgradError):
    """A command was called with values that do not go together."""

    exit_code = 2


class RunFileError(FixgradError):
    """The run file is missing, malformed or contradicts itself."""

    exit_code = 3


class DataError(FixgradError):
    """The data set is missing, malformed or does not match the model."""

    exit_code = 4


class ModelError(FixgradError):
    """The model breaks a limit of NUMERICS (budgets, ranges)."""

    exit_code = 5


class DoesNotFitError(FixgradError):
    """The model needs more memory than the board has."""

    exit_code = 6


class PortError(FixgradError):
    """The port does not exist, is busy, or vanished."""

    exit_code = 7


class LinkError(FixgradError):
    """Nothing answers, or what answers is not fixgrad, or it stopped answering."""

    exit_code = 8


class VersionError(FixgradError):
    """The device speaks another version of the protocol or the arithmetic."""

    exit_code = 9


class BuildError(FixgradError):
    """A compiler, emulator or PlatformIO is missing or failed."""

    exit_code = 10


class MismatchError(FixgradError):
    """Device and reference differ: the proof failed."""

    exit_code = 11


class StoreError(FixgradError):
    """The board cannot keep a checkpoint in its flash."""

    exit_code = 12


class FlashError(FixgradError):
    """The firmware could not be written, or what answers afterwards is not what was written."""

    exit_code = 13
