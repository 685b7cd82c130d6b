"""Statements that are run for every order, in the driver's own words: SQLAlchemy compiles each once, and is not asked again.

Its steps between a statement and the driver cost three times what the database does; what they do (names to places, values to what the
column takes, errors to SQLAlchemy's) is done here for the one connection of a writer.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

Value = Callable[[Any], Any]


class Made(Struct, frozen=True):
    """A statement as the driver takes it. `places`: names in order, None where the driver takes names."""

    text: str
    places: tuple[str, ...] | None
    given: dict[str, Any]  # values that the statement itself names
    turned: dict[str, Value]  # name -> what makes of a value what the column takes


class Statements:
    """Transactions and statements on the driver's connection behind `connection`, which is used for nothing else any more."""

    def __init__(self, connection: Connection) -> None:
        self._dialect: Any = connection.dialect
        self._driver: Any = connection.connection.driver_connection
        self._cursor = self._driver.cursor()
        self.embedded = self._dialect.name == "sqlite"
        self._made: dict[tuple[Any, ...], Made] = {}
        self._begun = False

    def run(self, statement: Any, row: Mapping[str, Any]) -> Any:
        """Within a transaction, begun if none is. Returns the driver's cursor, good until the next call: `fetchone()`, `rowcount`.

        Raises what SQLAlchemy does. A statement is known by itself and by the names of `row`: keep those that are run often.
        """
        made = self._made.get((statement, *row)) or self._make(statement, row)
        values = {**made.given, **row} if made.given else row
        if made.turned:
            values = {**values, **{name: turned(values[name]) for name, turned in made.turned.items()}}
        try:
            if self.embedded and not self._begun:
                self._cursor.execute("BEGIN IMMEDIATE")  # a writer waits for another, it never fails half-way
            self._begun = True
            return self._cursor.execute(made.text, values if made.places is None else [values[name] for name in made.places])
        except self._dialect.dbapi.Error as error:
            raise self._told(made.text, error) from error

    def _make(self, statement: Any, row: Mapping[str, Any]) -> Made:
        columns = [name for name in row if not hasattr(statement, "table") or name in statement.table.c]
        compiled = statement.compile(dialect=self._dialect, column_keys=columns)
        turned = {}
        for name, bind in compiled.binds.items():
            if (turn := bind.type.dialect_impl(self._dialect).bind_processor(self._dialect)) is not None:
                turned[name] = turn
        places = tuple(compiled.positiontup) if compiled.positiontup is not None else None
        given = {name: value for name, value in compiled.construct_params(None, _check=False).items() if name not in row}
        made = Made(compiled.string, places, given, turned)
        self._made[statement, *row] = made
        return made

    def commit(self) -> None:
        """All that was run since the transaction began; nothing where none did."""
        if self._begun:
            self._begun = False
            try:
                self._driver.commit()
            except self._dialect.dbapi.Error as error:
                self._driver.rollback()
                raise self._told("COMMIT", error) from error

    def rollback(self) -> None:
        if self._begun:
            self._begun = False
            self._driver.rollback()

    def _told(self, text: str, error: Exception) -> BaseException:
        return DBAPIError.instance(text, None, error, self._dialect.dbapi.Error, dialect=self._dialect)
