"""The states a partition may be in, in a module that needs nothing: the command line names them before anything heavy is loaded."""

from enum import StrEnum


class State(StrEnum):
    FRESH = "fresh"
    MISSING = "missing"
    STALE = "stale"
