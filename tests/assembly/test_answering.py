"""How shops answer, from config to objects: the group, the arms that set it, encoders."""

from pathlib import Path

import pytest

from ecc_fed.assembly.build import build_answering, build_settings
from ecc_fed.assembly.compose import compose_run, to_run_config
from ecc_fed.assembly.federation import build_arm
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Asked, OwnExample, Turn
from ecc_fed.evolution.answering.cloud import CloudAlone
from ecc_fed.evolution.answering.model import ModelAlone
from ecc_fed.evolution.answering.model_with_examples import ModelWithExamples
from ecc_fed.evolution.answering.nearest_example import NearestExample

CONF = str(Path(__file__).parent.parent / "own_parts" / "conf")
QUERIES = ("发什么快递", "多少钱")
KNOWN = [OwnExample(str(i), (Turn("customer", text),), f"answer {i}") for i, text in enumerate(QUERIES)]


def config(*overrides: str) -> RunConfig:
    return to_run_config(compose_run(list(overrides), [CONF]), ["tests.own_parts"])


@pytest.mark.parametrize(
    ("arm", "answering", "trains"),
    [
        ("none", ModelAlone, False),
        ("local", ModelAlone, True),
        ("aggregated", ModelAlone, True),
        ("personalized", ModelAlone, True),
        ("retrieval", NearestExample, False),
        ("cloud", CloudAlone, False),
        ("centralized", ModelAlone, True),
        ("base_with_examples", ModelWithExamples, False),
        ("local_with_examples", ModelWithExamples, True),
    ],
)
def test_an_arm_says_how_its_shops_answer_and_whether_they_train(arm: str, answering: type, trains: bool) -> None:
    given = config(f"arm={arm}")
    assert type(build_answering(given)) is answering
    assert (build_arm(given).name, build_settings(given).trains) == (arm, trains)


def test_a_choice_of_the_group_wins_over_the_arms() -> None:
    assert type(build_answering(config("arm=local_with_examples", "answering=model"))) is ModelAlone
    assert type(build_answering(config("answering=nearest_example", "arm=aggregated"))) is NearestExample
    one = build_answering(config("arm=base_with_examples", "answering.count=1"))
    assert [len(turns) for turns in one.prepare([Asked(KNOWN[0].prompt)], KNOWN)] == [3]


def test_the_devices_own_encoder_may_search() -> None:
    given = build_answering(config("arm=retrieval", "answering.encoder=judge"))
    assert given.prepare([Asked((Turn("customer", "发什么快递"),))], KNOWN) == ["answer 0"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["answering=model_with_examples", "answering.count=0"], r"answering\.count=0 is out of range"),
        (["arm=retrieval", "answering.match=reply"], r"answering\.match=reply"),
        (["arm=retrieval", "answering.encoder=embedded"], r"answering\.encoder=embedded has no vectors of texts"),
        (["arm=retrieval", "answering.encoder=judge", "judge=own"], r"answering\.encoder=.*has no vectors of texts"),
    ],
)
def test_what_cannot_be_is_refused_by_name(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_answering(config(*overrides))
