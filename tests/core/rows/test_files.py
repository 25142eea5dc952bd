"""Files of rows: whole, typed, and named in errors."""

from pathlib import Path

import pytest

from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.rows import AggregationRow, append_rows, read_record, read_rows, write_record, write_rows

ROWS = [AggregationRow(1, 0.5), AggregationRow(2, None)]


def test_rows_are_read_back_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, ROWS)
    append_rows(path, ROWS)
    assert read_rows(path, AggregationRow) == [*ROWS, *ROWS]


def test_a_broken_row_is_named_by_file_and_number(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, ROWS)
    with path.open("a") as file:
        file.write('\n{"server_round": 3}\n')
    with pytest.raises(RunDirectoryError, match=r"rows\.jsonl, row 3: relative_error is missing; buy a new one"):
        read_rows(path, AggregationRow, remedy="buy a new one")


def test_rows_are_lifted_before_they_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"round": 3, "relative_error": 1}\n')
    lifted = read_rows(path, AggregationRow, lift=lambda row: {"server_round": row["round"], "relative_error": 2.0})
    assert lifted == [AggregationRow(3, 2.0)]


def test_a_torn_last_row_is_left_out_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, ROWS)
    with path.open("a") as file:
        file.write('{"server_r')
    assert read_rows(path, AggregationRow, torn_tail=True) == ROWS
    with pytest.raises(RunDirectoryError, match="line 3: cut off"):
        read_rows(path, AggregationRow)


def test_a_record_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, ROWS[0])
    assert read_record(path, AggregationRow) == ROWS[0]
    path.write_text("{}")
    with pytest.raises(RunDirectoryError, match=r"record\.json: server_round is missing; sigh"):
        read_record(path, AggregationRow, remedy="sigh")
