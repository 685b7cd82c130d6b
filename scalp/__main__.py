"""`python -m scalp`: the command line, for programs that start it by the interpreter they run in."""

from scalp.main import app

app()
