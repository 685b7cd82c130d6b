"""What goes wrong with the lake, in a module that needs nothing: the command line names it before anything heavy is loaded."""


class StoreError(RuntimeError):
    """A part that cannot be read or written; the message names it."""
