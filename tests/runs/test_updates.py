from ecc_fed.core.rows import UpdateRow, read_rows, write_rows
from ecc_fed.federation.results import RoundRecord, ShopRound
from ecc_fed.runs.updates import update_rows


def test_every_shop_of_every_round_has_a_row_that_reads_back(tmp_path):
    first = RoundRecord(1, {"b": ShopRound(3, {}), "a": ShopRound(0, {})}, (), (), 1.0)
    second = RoundRecord(2, {"a": ShopRound(400, {"loss": 1.0}, 0.5, 12.5, ("large_norm",))}, (), (), 1.0)
    rows = list(update_rows([first, second]))
    assert rows == [
        UpdateRow(1, "b", 3, None, None, ()),
        UpdateRow(1, "a", 0, None, None, ()),
        UpdateRow(2, "a", 400, 0.5, 12.5, ("large_norm",)),
    ]
    write_rows(tmp_path / "updates.jsonl", rows)
    assert read_rows(tmp_path / "updates.jsonl", UpdateRow) == rows
