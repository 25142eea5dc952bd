"""Every method's own words, sizes and scale; and the one place that knows methods by name."""

import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.end_model.adapters.low_rank import Dora, Lora, RsLora
from ecc_fed.end_model.adapters.prefix import PrefixTuning, PTuningV2
from ecc_fed.end_model.adapters.settings import METHODS, AdapterChoice, adapter_settings


def test_a_name_in_a_config_is_one_class():
    assert {
        "lora": Lora,
        "rslora": RsLora,
        "dora": Dora,
        "prefix_tuning": PrefixTuning,
        "p_tuning_v2": PTuningV2,
    } == METHODS
    assert all(adapter_settings(name) == kind() and kind.method == name for name, kind in METHODS.items())


def test_each_scales_every_rank_in_its_own_way():
    for kind in (Lora, Dora):
        assert [kind(4, 6.0).scale_at(rank) for rank in (4, 3, 12)] == [1.5, 2.0, 0.5]
        assert kind(4, 6.0).scale == 1.5
    assert [RsLora(4, 6.0).scale_at(rank) for rank in (4, 9, 36)] == [3.0, 2.0, 1.0]
    assert RsLora(4, 6.0).scale == 3.0


def test_engines_ask_what_an_adapter_is_not_what_it_is_called():
    assert [kind().pairs_alone for kind in METHODS.values()] == [True, True, False, False, False]
    assert [kind().virtual_tokens for kind in METHODS.values()] == [0, 0, 0, 128, 128]
    assert PTuningV2(5).virtual_tokens == PrefixTuning(5).virtual_tokens == 5


def test_settings_are_told_apart_by_their_method_and_a_list_of_modules_is_a_tuple():
    assert len({Lora(), RsLora(), Dora()}) == 3
    assert Lora(target_modules=["q_proj"]) == Lora(target_modules=("q_proj",))
    assert hash(Lora(target_modules=["q_proj"])) == hash(Lora(target_modules=("q_proj",)))


@pytest.mark.parametrize("kind", [Lora, RsLora, Dora])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"rank": 0}, r"adapter\.rank=0 is out of range: 1 or more"),
        ({"lora_alpha": 0.0}, r"adapter\.lora_alpha=0\.0 is out of range: above 0"),
        ({"lora_dropout": 1.0}, r"adapter\.lora_dropout=1\.0 is out of range"),
        ({"lora_dropout": -0.1}, r"adapter\.lora_dropout=-0\.1 is out of range"),
        ({"target_modules": "everything"}, r"adapter\.target_modules='everything' is neither"),
        ({"target_modules": ()}, r"adapter\.target_modules is empty"),
    ],
)
def test_low_rank_settings_out_of_range_are_refused(kind, arguments, said):
    with pytest.raises(ConfigError, match=said):
        kind(**arguments)


def test_prefixes_out_of_range_are_refused():
    for kind in (PTuningV2, PrefixTuning):
        with pytest.raises(ConfigError, match=r"adapter\.num_virtual_tokens=0 is out of range: 1 or more"):
            kind(0)
    with pytest.raises(ConfigError, match=r"adapter\.encoder_hidden_size=0 is out of range: 1 or more"):
        PrefixTuning(5, 0)


def test_ranks_are_dealt_to_the_shops_in_turn():
    choice = AdapterChoice("lora", rank=8, ranks=(2, 8))
    assert choice.ranks_of(("b", "a", "c")) == {"a": 2, "b": 8, "c": 2}, "by name, as the scales"
    assert choice.settings() == Lora(8)
    assert AdapterChoice().ranks_of(("a", "b")) == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rank": 4, "ranks": (2, 5)}, r"adapter\.ranks=\[2, 5\] is out of range: 1 up to adapter\.rank=4"),
        ({"ranks": (0,)}, r"adapter\.ranks=\[0\] is out of range: 1 up to adapter\.rank=8"),
        ({"method": "dora", "ranks": (2,)}, r"adapter\.ranks: a dora adapter has one rank for all shops"),
        ({"method": "p_tuning_v2", "ranks": (2,)}, r"adapter\.ranks: a p_tuning_v2 adapter has one rank"),
    ],
)
def test_ranks_that_no_shop_can_have_are_refused(values, said):
    with pytest.raises(ConfigError, match=said):
        AdapterChoice(**values)
