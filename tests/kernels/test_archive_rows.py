"""A line of an archive is its exact decimals and times, or it is refused with what is wrong; whatever stands around it."""

from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernels.archive_digits import BEFORE, PAD
from kernels.archive_rows import COLUMNS, FUTURES, MOST_BAD, REASONS, SOUND, counted, parse, room
from kernels.decimals import census, chosen
from kernels.frames_batch import EARLIEST, LATEST, to_ns

MS = 1_682_899_200_101
LINE = f"1715206948,29223.0,0.639,3643221425,3643221428,{MS},true"


class Found(NamedTuple):
    rows: list[tuple[int, ...]]  # trade_id price size first_id last_id ts_event side line
    refused: list[tuple[int, str, str]]  # line, reason, text
    unfit: bool


def read(text: bytes, places: tuple[int, int] = (2, 3), *, best: bool = False, capacity: int = 5_000, around: int = 255) -> Found:
    """Everything in the text, however often the rows or the refusals are full in between."""
    buffer = np.full(BEFORE + len(text) + PAD, around, np.uint8)
    buffer[BEFORE : BEFORE + len(text)] = np.frombuffer(text, np.uint8)
    at, end, line, unfit = BEFORE, BEFORE + len(text), 1, False
    found = Found([], [], False)
    while at < end:
        rows = room(capacity)
        at, line, n, n_bad, some = parse(buffer, at, end, line, 0, *places, best, *rows)
        found.rows.extend(zip(*rows.ints[:, :n].tolist(), rows.side[:n].tolist(), rows.row[:n].tolist(), strict=True))
        for start, stop, of, reason in rows.bad[:n_bad].tolist():
            found.refused.append((of, REASONS[reason], bytes(buffer[start:stop]).decode(errors="replace")))
        unfit |= some
    return found._replace(unfit=unfit)


def told(line: str, places: tuple[int, int], best: bool) -> tuple[int, ...] | str | None:
    """The plain reading: a row, `refused`, `unfit` where only a number has no place, or None for a blank line."""
    if not line.strip(" \t\r"):
        return None
    fields = line.removesuffix("\r").split(",")
    if len(fields) != FUTURES + best or not all(field.isascii() for field in fields):
        return "refused"
    ids = [int(fields[at]) if fields[at].isdigit() and len(fields[at]) <= 16 else None for at in (0, 3, 4, 5)]
    units = [decimal_units(field, of) for field, of in zip(fields[1:3], places, strict=True)]
    flags = [{"true": 1, "false": 0}.get(field.lower()) for field in fields[6:]]
    if None in (*ids, *units, *flags):
        return "refused"
    ts = int(to_ns(np.array([ids.pop()]))[0])
    if not EARLIEST <= ts < LATEST:
        return "refused"
    return "unfit" if min(units) < 0 else (ids[0], *units, *ids[1:], ts, 1 - 2 * flags[0])  # type: ignore[type-var,operator,return-value]


def decimal_units(field: str, places: int) -> int | None:
    """Units of 10^-places, -1 where they are none, None where the field is no plain decimal number."""
    whole, point, part = field.partition(".")
    if not (field.isascii() and whole.isdigit() and (part.isdigit() if point else True)) or len(whole) > 15 or len(part) > 16:
        return None
    try:
        units = Decimal(field) * 10**places
    except InvalidOperation:
        return None
    return int(units) if units == int(units) and len(whole) + places <= 15 else -1


FIELDS: list[list[str]] = [
    ["0", "7", "1715206948", "1234567890123456", "12345678901234567", "-1", "+1", "1.0", "", "x", " 1", "1e3"],
    ["29223.0", "29223", "0.00000001", "0.10000000", "007.5", "123456789012345", "1234567890123456", "1.", ".5", "1.2.3", "1e-5", "-1", ""],
    ["0.639", "0.0", "12", "1000000.00", "0.6390000000000000", "1.12345678901234567", "0,5", "NaN", ""],
    ["0", "3643221425", "", "a"],
    ["0", "3643221428", "1:", "/"],
    [str(MS), str(MS * 1000), str(MS // 1000), str(MS * 10**6), "0", "9999999999999", "4102444799999", "4102444800000", ""],
    ["true", "false", "True", "FALSE", "tRuE", "t", "1", "truefalse", "", "trueX", "fals"],
    ["True", "false", "", "yes"],
]


@st.composite
def lines(draw: st.DrawFn) -> str:
    fields = [of[0] for of in FIELDS[: draw(st.sampled_from([7, 7, 8]))]]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(fields) - 1))
        fields[at] = draw(st.sampled_from(FIELDS[at]))
    text = ",".join(fields)
    how = draw(st.sampled_from(["as it is"] * 5 + ["cut", "more", "blank", "odd"]))
    if how == "cut":
        text = text[: draw(st.integers(0, len(text)))]
    elif how == "more":
        text += draw(st.sampled_from([",", ",1", " ", "\r", "\r\r"]))
    elif how == "blank":
        text = draw(st.sampled_from(["", " ", "\t", "\r"]))
    elif how == "odd":
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from([",", ".", "\0", '"', "/", ":", " ", "-", "9"])) + text[at:]
    return text + draw(st.sampled_from(["", "", "\r"]))


@given(st.lists(lines(), max_size=8), st.booleans(), st.integers(1, 9), st.sampled_from([0, 48, 44, 10, 255]))
@settings(deadline=None, max_examples=300)
def test_every_line_is_the_row_that_it_says_or_is_refused(drawn: list[str], best: bool, capacity: int, around: int):
    places = (2, 3)
    found = read("".join(f"{line}\n" for line in drawn).encode(), places, best=best, capacity=capacity, around=around)
    expected = [(at, told(line, places, best)) for at, line in enumerate(drawn, 1)]
    assert found.rows == [(*row, at) for at, row in expected if isinstance(row, tuple)]
    refused = [(at, drawn[at - 1]) for at, reading in expected if isinstance(reading, str)]
    assert [(at, text) for at, _, text in found.refused] == refused
    assert found.unfit == any(reading == "unfit" for _, reading in expected)


@given(st.integers(0, 10**15 - 1), st.integers(0, 12), st.integers(0, 4))
@settings(deadline=None, max_examples=300)
def test_a_price_is_exact_in_units_of_any_decimals_that_hold_it(units: int, places: int, zeros: int):
    digits = str(units).rjust(places + 1, "0")
    text = f"{digits[: len(digits) - places]}.{digits[len(digits) - places :]}{'0' * zeros}" if places else digits
    found = read(LINE.replace("29223.0", text).encode() + b"\n", (places, 3))
    assert [row[1] for row in found.rows] == [units]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("1715206948", "x"), "agg_trade_id is no whole number"),
        (("29223.0", "2.9e4"), "price is no decimal number"),
        (("29223.0", "0.001"), "price of more digits than can be kept exactly"),
        (("0.639", "9999999999999"), "quantity of more digits than can be kept exactly"),
        (("3643221425,", ""), "transact_time is no time from 2009 to 2099"),
        ((str(MS), "1"), "transact_time is no time from 2009 to 2099"),
        (("true", "yes"), "is_buyer_maker is neither true nor false"),
        (("true", "true,true"), "the line does not end after its last column"),
    ],
    ids=lambda of: of if isinstance(of, str) else f"{of[0]} to {of[1]}",
)
def test_a_refused_line_says_which_column_is_wrong(change: tuple[str, str], reason: str):
    found = read((LINE + "\n" + LINE.replace(*change) + "\n" + LINE + "\n").encode())
    assert [row[-1] for row in found.rows] == [1, 3]
    assert found.refused == [(2, reason, LINE.replace(*change))]


def test_more_refused_lines_than_there_is_room_for_are_all_told():
    n = 2 * MOST_BAD + 5
    found = read(b"x\n" * n + LINE.encode() + b"\n")
    assert (len(found.refused), found.refused[-1][0], len(found.rows)) == (n, n, 1)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=20))
@settings(deadline=None, max_examples=100)
def test_the_decimals_are_those_a_census_of_the_numbers_chooses(drawn: list[tuple[int, int, int]]):
    assume(all(str(units).strip("0") != "1" for units, *_ in drawn))  # 10^15 units are 16 digits: one too many here, just enough there
    written = [f"{Decimal(units).scaleb(-places):f}" for units, places, _ in drawn]
    written = [text + ("0" * more if "." in text else "") for text, (*_, more) in zip(written, drawn, strict=True)]
    text = "".join(LINE.replace("29223.0", price) + "\n" for price in written).encode()
    buffer = np.zeros(BEFORE + len(text) + PAD, np.uint8)
    buffer[BEFORE : BEFORE + len(text)] = np.frombuffer(text, np.uint8)
    price, size = counted(buffer, BEFORE, BEFORE + len(text))
    assert (chosen(price, 0.0), chosen(size, 0.0)) == (chosen(census([float(text) for text in written]), 0.0), 3)


def test_the_names_and_reasons_are_of_one_order():
    assert all(REASONS[at].startswith(name) for at, name in enumerate(COLUMNS))
    assert SOUND not in REASONS
