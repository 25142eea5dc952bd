import pytest

from ecc_fed.core.errors import UserError
from ecc_fed.runs.tuning.metric import NotMeasured, number_at

SUMMARY = {
    "schema": 5,
    "arm": "local",
    "withheld": True,
    "evaluation": {"final": {"final_score": {"mean": 0.5, "ci95": [0.1, 0.9]}, "chrf": None}},
    "teacher": {"cost_usd": 0, "requests": None},
}


def test_a_number_is_found_by_its_path() -> None:
    assert number_at(SUMMARY, "evaluation.final.final_score.mean") == 0.5
    assert number_at(SUMMARY, "teacher.cost_usd") == 0.0, "zero is a number"


@pytest.mark.parametrize("path", ["teacher.requests", "evaluation.final.chrf", "evaluation.final.chrf.mean"])
def test_what_was_not_measured_is_no_mistake_of_the_path(path: str) -> None:
    with pytest.raises(NotMeasured, match=f"measured no {path}"):
        number_at(SUMMARY, path)


@pytest.mark.parametrize("path", ["evaluation.final.final_scor.mean", "arm", "withheld", "evaluation", "", "x.y"])
def test_a_path_without_a_number_is_told_with_the_nearest(path: str) -> None:
    with pytest.raises(UserError, match=r"summary\.json has no number") as caught:
        number_at(SUMMARY, path)
    assert not isinstance(caught.value, NotMeasured)
    if path.startswith("evaluation.final"):
        assert "Near it: evaluation.final.final_score.mean" in str(caught.value)
