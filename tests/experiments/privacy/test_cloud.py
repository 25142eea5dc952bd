"""What the cloud was told, by the texts that a run keeps."""

from pathlib import Path

import pytest

from ecc_fed.core.records import TeacherText
from ecc_fed.runs.finished_run import open_run
from experiments.privacy.cloud import Heard, found_in, heard, table
from tests.cli.test_cross import finish

ASKED = ["arm=retrieval", "privacy.keep_text=true", "corpus.pairs_per_shop=120"]


@pytest.mark.parametrize(("redaction", "least", "most"), [("none", 0.5, 1.0), ("order_record", 0.0, 0.0)])
def test_values_reach_the_cloud_unless_they_are_redacted(
    tmp_path: Path, redaction: str, least: float, most: float
) -> None:
    # Every customer has a record, so that the redaction knows every value.
    given = [*ASKED, f"redaction={redaction}", "corpus.customers_without_record=0.0"]
    told = heard(open_run(finish(tmp_path, *given).root))
    assert told is not None and told.said >= 4
    assert least <= told.found / told.said <= most


def test_a_line_an_arm_adds_up_its_seeds(tmp_path: Path) -> None:
    told = [heard(open_run(finish(tmp_path / f"{seed}", *ASKED, f"seed={seed}").root)) for seed in (0, 1)]
    assert all(one is not None and one.found for one in told)
    total = sum((one for one in told if one is not None), Heard(0, 0))
    assert f"| `retrieval` | {total.found} of {total.said} |" in table(tmp_path)


def test_a_run_that_keeps_no_texts_or_asked_nothing_while_serving_tells_nothing(tmp_path: Path) -> None:
    assert heard(open_run(finish(tmp_path / "a", "arm=retrieval").root)) is None
    quiet = ["evolution.reference=sampled", "evolution.reference_rate=0", "feedback=none"]
    assert heard(open_run(finish(tmp_path / "b", *ASKED, *quiet).root)) is None


def test_lines_of_two_texts_are_not_read_as_one() -> None:
    halves = [TeacherText("shop_0000", "query", str(place), text) for place, text in enumerate(("138001", "38000"))]
    assert found_in(halves, ["13800138000"]) == set()
    assert found_in([*halves, TeacherText("shop_0000", "query", "2", "１３８ 0013 8000")], ["13800138000"])
    assert Heard(3, 1) + Heard(2, 2) == Heard(5, 3)
