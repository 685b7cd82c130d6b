"""Statements past SQLAlchemy: the same values, the same errors, nothing half done."""

from pathlib import Path

import pytest
from sqlalchemy import JSON, Boolean, Column, Integer, MetaData, String, Table, bindparam, create_engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from core.ledger import connected
from core.ledger_statements import Statements

metadata = MetaData()
THINGS = Table(
    "things", metadata,
    Column("name", String(8), primary_key=True), Column("many", Integer, nullable=False, server_default="7"),
    Column("fine", Boolean, nullable=False), Column("values", JSON),
)  # fmt: skip
PUT, OF = insert(THINGS), select(THINGS).where(THINGS.c.name == bindparam("called"))
CHANGE = update(THINGS).where(THINGS.c.name == bindparam("called"))


@pytest.fixture
def things(tmp_path: Path):
    engine = connected(f"sqlite:///{tmp_path / 'things.db'}")
    metadata.create_all(engine)
    with engine.connect() as connection:
        yield Statements(connection)
    engine.dispose()


def test_what_is_written_reads_back_through_sqlalchemy_as_it_was(things: Statements, tmp_path: Path):
    things.run(PUT, {"name": "a", "fine": True, "values": [1, 2.5]})
    things.run(CHANGE, {"called": "a", "many": 9})
    things.commit()
    with create_engine(f"sqlite:///{tmp_path / 'things.db'}").connect() as other:
        assert other.execute(select(THINGS)).all() == [("a", 9, True, [1, 2.5])]


def test_a_statement_with_other_columns_is_another_statement(things: Statements):
    things.run(PUT, {"name": "a", "fine": False})
    things.run(PUT, {"name": "b", "many": 3, "fine": True})
    assert things.run(OF, {"called": "a"}).fetchone()[:3] == ("a", 7, 0)
    assert things.run(OF, {"called": "b"}).fetchone()[:3] == ("b", 3, 1)
    things.commit()


def test_what_is_rolled_back_was_never_there(things: Statements):
    things.run(PUT, {"name": "a", "fine": True})
    things.rollback()
    assert things.run(OF, {"called": "a"}).fetchone() is None
    things.commit()


def test_errors_are_those_of_sqlalchemy(things: Statements):
    things.run(PUT, {"name": "a", "fine": True})
    with pytest.raises(IntegrityError):
        things.run(PUT, {"name": "a", "fine": True})
    things.rollback()


def test_nothing_is_begun_before_the_first_statement(things: Statements):
    things.commit()
    things.rollback()
    assert things.run(OF, {"called": "a"}).fetchone() is None
    things.commit()
