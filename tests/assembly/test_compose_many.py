"""Runs that are composed together are what each of them is when it is composed by itself."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from ecc_fed.assembly import compose_many
from ecc_fed.assembly.compose import compose_run
from ecc_fed.assembly.compose_many import Composer
from ecc_fed.core.errors import ConfigError

STUDY = ["experiment=local_vs_aggregated", "arm=aggregated"]
TOGETHER = [
    ["seed=1"],
    [*STUDY, "seed=1", "corpus.pairs_per_shop=10", "strategy=fedavg", "adapter.shared_rank=4"],
    [*STUDY, "adapter.shared_rank=4", "strategy=fedavg", "adapter.shared_rank=2", "seed=3"],
    [*STUDY, "seed=5", "strategy=fedavg", "corpus.num_shops=${seed}", "end_model.path='a = ${b}'"],
    [*STUDY, "strategy=fedavg", '+study.methods.mine=["strategy=krum"]', "study.arms=[local]"],
    [*STUDY, "strategy=fedavg", '++study.methods.fedavg=["seed=1"]', '+study.methods={other: ["seed=2"]}'],
    [*STUDY, "strategy=fedavg", "~study.methods.fedavg"],
    ["arm=personalized", "arm.personal_rounds=1", "update=[clip]", "seed=4", "corpus.canaries=[1,4]"],
    ["adapter={rank: 2}", "adapter.rank=3"],
    ["adapter.rank=3", "adapter={rank: 2}"],
    ["corpus.path=null", "corpus=jddc", "corpus.path='x y'"],
    ["seed=2", "hydra.run.dir=elsewhere"],
]
MISTAKES = [
    ["corpus.num_shop=1"],
    ["seed=many"],
    ["corpus.num_shops=1", "arm=nobody"],
    ["+seed=1"],
    ["seed=1,2"],
    ["seed=["],
    ["nothing@x=local"],
    ["~study.view"],
]


def shown(config: DictConfig) -> tuple[str, list[object]]:
    """All that it holds, and how it takes what is set later."""
    flags = [
        (OmegaConf.is_struct(node), OmegaConf.is_readonly(node), OmegaConf.get_type(node))
        for node in (config, *(config._get_node(key) for key in config))
        if OmegaConf.is_config(node)
    ]
    return OmegaConf.to_yaml(config, resolve=False), flags


def test_each_is_what_it_is_by_itself_whatever_was_composed_before() -> None:
    composer = Composer()
    for overrides in TOGETHER:
        assert shown(composer.compose(overrides)) == shown(compose_run(overrides)), overrides


def test_a_mistake_is_told_as_by_itself() -> None:
    composer = Composer()
    for overrides in MISTAKES:
        with pytest.raises(ConfigError) as alone:
            compose_run(overrides)
        with pytest.raises(ConfigError) as together:
            composer.compose(overrides)
        assert str(together.value) == str(alone.value), overrides


def test_what_the_caller_makes_of_a_config_reaches_no_other() -> None:
    composer = Composer()
    composer.compose(["seed=1"]).corpus.num_shops = 77
    assert composer.compose(["seed=1"]).corpus.num_shops != 77


@pytest.fixture
def by_itself(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is left for Hydra."""
    asked: list[list[str]] = []

    def compose(overrides: list[str], config_dirs: tuple[str, ...] = ()) -> DictConfig:
        asked.append(list(overrides))
        return compose_run(overrides, config_dirs)

    monkeypatch.setattr(compose_many, "compose_run", compose)
    return asked


def test_every_choice_of_groups_is_composed_once(by_itself: list[list[str]]) -> None:
    composer = Composer()
    for seed in range(5):
        for strategy in ("fedavg", "krum"):
            composer.compose([*STUDY, f"seed={seed}", f"strategy={strategy}", '+study.methods.mine=["seed=1"]'])
    assert by_itself == [[*STUDY, "strategy=fedavg"], [*STUDY, "strategy=krum"]]


def test_a_users_own_folder_of_groups_counts(by_itself: list[list[str]], tmp_path: Path) -> None:
    (tmp_path / "arm").mkdir()
    (tmp_path / "arm" / "mine.yaml").write_text("_target_: ecc_fed.federation.arms.Local\nname: mine\n")
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "few.yaml").write_text("# @package _global_\ncorpus:\n  num_shops: 2\n")
    composer = Composer([str(tmp_path)])
    for seed in range(2):
        composed = composer.compose(["arm=mine", "+extra=few", f"seed={seed}", "corpus.pairs_per_shop=9"])
        assert (composed.arm.name, composed.corpus.num_shops, composed.corpus.pairs_per_shop) == ("mine", 2, 9)
        assert composed.seed == seed
    assert by_itself == [["arm=mine", "+extra=few"]]
