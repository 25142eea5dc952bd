"""Errors that name what went wrong, where, and the remedy.

Whatever a user can cause is an `EccError`: the command line prints its message alone and exits
with `exit_code`. Anything else is a bug of ours and keeps its traceback.
"""


class EccError(Exception):
    """A failure with a message written for the user: what, where, remedy."""

    exit_code = 1


class UserError(EccError):
    """The user's mistake: a bad value, a missing file, an unknown name."""

    exit_code = 2


class ConfigError(UserError):
    """A setting that is unknown, of the wrong type or out of range."""


class TooFewUpdates(ConfigError):
    """A round's updates are too few for the aggregator: such a round is skipped, such a run refused."""


class CorpusError(UserError):
    """A corpus that is missing, empty, of another format, or too small for what was asked."""


class ModelError(UserError):
    """A model folder that lacks weights, tokenizer or config, or holds another kind of model."""


class TeacherError(EccError):
    """The cloud teacher could not answer and the run cannot go on without it."""


class BudgetExceeded(TeacherError):
    """A declared budget (requests, tokens, cost) is used up."""


class RunDirectoryError(EccError):
    """The run directory cannot be written, or what lies there is not a run of this kind."""


class WriteError(RunDirectoryError):
    """A file could not be written: a full disk above all, where the next write would fail as well."""


class DamagedState(RunDirectoryError):
    """What a shop, a server or an evaluation left is changed, incomplete, or belongs to another run or shop."""

    exit_code = 2
