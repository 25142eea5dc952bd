"""A shop answers public queries by its own model, and trains on the declared share of what was agreed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecc_fed.core.aggregation import NOTHING, Exchange
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import Asked, Decoding, FineTuneSettings, FromCloud, PublicSet, ReplyRequest, Turn
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.evolution.answering.cloud import CloudAlone
from ecc_fed.evolution.answering.model_with_examples import ModelWithExamples
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.experience import Experience, cycled, draw_examples
from ecc_fed.evolution.public_set import answer_public, draw_with_public, public_examples, refuse_tested
from ecc_fed.evolution.settings import LoopSettings, Services
from ecc_fed.evolution.shop_state import load_state
from tests.evolution.fakes import (
    CountingModel,
    EchoGateway,
    MixingModel,
    pair,
    services,
    settings,
    shop,
    truth_of,
    write_adapter,
)

QUERIES = ("问价", "问快递", "退货")
ASKED = PublicSet(QUERIES)
TAUGHT = PublicSet(QUERIES, ("九块", "", "能退"))
AT_HOME = Exchange(up=NOTHING)


def loop(share: float = 0.5, steps: int = 4) -> LoopSettings:
    return replace(settings(fine_tune=FineTuneSettings(steps=steps, batch_size=5)), public_share=share)


def device(folder: Path, given: Services, share: float = 0.5) -> ShopDevices:
    shops = [shop()]
    return ShopDevices(shops, truth_of(shops), given, loop(share), RunDirectory(folder), write_adapter, seed=0)


def test_agreed_replies_are_examples_and_a_query_without_one_teaches_nothing() -> None:
    assert public_examples(None) == public_examples(ASKED) == ()
    assert [(each.query, each.reply) for each in public_examples(TAUGHT)] == [("问价", "九块"), ("退货", "能退")]
    assert all(each.prompt == (Turn("customer", each.query),) for each in public_examples(TAUGHT))
    assert len({each.pair_id for each in public_examples(TAUGHT)}) == 2


@pytest.mark.parametrize(("share", "wanted"), [(0.1, 4), (0.25, 10), (0.5, 20), (1.0, 40)])
def test_the_share_of_public_examples_is_the_declared_one(share: float, wanted: int) -> None:
    experience, public = Experience(tuple(pair("a", f"n{i}") for i in range(7))), public_examples(TAUGHT)
    drawn = draw_with_public(experience, public, 40, loop(share), 3)
    assert len(drawn) == 40
    assert sum(each in public for each in drawn) == wanted
    # All of them as often, give or take one, and the rest is the draw of a shop by itself of so many.
    counts = [drawn.count(each) for each in public]
    assert max(counts) - min(counts) <= 1
    own = draw_examples(experience, 40 - wanted, loop().evolution.pseudo_share, derive_rng(3, "examples"))
    assert sorted(each.pair_id for each in drawn if each not in public) == sorted(each.pair_id for each in own)
    places = [place for place, each in enumerate(drawn) if each in public]
    assert share == 1 or places != list(range(40 - wanted, 40)), "they do not stand at the end"
    rng = derive_rng(3, "public_examples")  # a stream of its own
    mixed = [*own, *(public[i] for i in cycled(len(public), wanted, rng))]
    assert drawn == tuple(mixed[i] for i in rng.permutation(40))
    assert drawn != draw_with_public(experience, public, 40, loop(share), 4)


def test_without_public_examples_or_a_share_the_draw_is_that_of_a_shop_by_itself() -> None:
    experience = Experience(tuple(pair("a", f"n{i}") for i in range(7)))
    own = draw_examples(experience, 20, loop().evolution.pseudo_share, derive_rng(3, "examples"))
    assert draw_with_public(experience, (), 20, loop(0.5), 3) == own
    assert draw_with_public(experience, public_examples(TAUGHT), 20, loop(0.0), 3) == own


def test_a_source_that_is_empty_leaves_its_share_to_the_other() -> None:
    public = public_examples(TAUGHT)
    drawn = draw_with_public(Experience(), public, 20, loop(0.25), 3)
    assert [drawn.count(each) for each in public] == [10, 10]
    assert draw_with_public(Experience(), (), 20, loop(), 3) == ()


class Recording(CountingModel):
    """Keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[ReplyRequest] = []

    def measured_reply(self, requests):
        self.asked.extend(requests)
        return super().measured_reply(requests)


def test_the_model_answers_greedily_in_one_request_and_the_cloud_is_asked_nothing() -> None:
    given = replace(services(), end_model=Recording())
    adapter = given.end_model.new_adapter(0)
    assert answer_public(ASKED, adapter, Experience(), loop(), given, 7) == tuple(f"bad {query}" for query in QUERIES)
    request = given.end_model.asked[0]
    assert len(given.end_model.asked) == 1 and request.adapter is adapter
    assert request.decoding == replace(Decoding(), sample=False)
    assert request.prompts == tuple((Turn("customer", query),) for query in QUERIES)
    assert isinstance(given.gateway, EchoGateway) and given.gateway.requests == []


def test_examples_in_the_prompt_are_those_that_customers_would_get() -> None:
    given = replace(services(), end_model=Recording(), answering=ModelWithExamples(count=1))
    known = Experience((pair("a", "问价", "九块"),))
    answer_public(ASKED, given.end_model.new_adapter(0), known, loop(), given, 7)
    expected = given.answering.prepare([Asked((Turn("customer", "问快递"),))], known.known())
    assert given.end_model.asked[0].prompts[1] == expected[0] and len(expected[0]) == 3


def test_what_the_cloud_would_have_to_say_is_left_blank() -> None:
    given = replace(services(), answering=CloudAlone())
    assert answer_public(ASKED, {}, Experience(), loop(), given, 7) == ("", "", "")
    assert isinstance(given.answering.prepare([Asked(())], ())[0], FromCloud)


def test_a_round_trains_on_the_share_and_answers_after_it(tmp_path: Path) -> None:
    given = services()
    shops = device(tmp_path, given)
    first = shops.train("shop_0", 1, None, AT_HOME, public=ASKED)
    assert first.replies == tuple(f"good {query}" for query in QUERIES), "the four steps of the round are behind it"
    second = shops.train("shop_0", 2, None, AT_HOME, public=replace(TAUGHT, asks=False))
    assert second.replies == ()
    assert isinstance(given.end_model, CountingModel)
    texts = [[example.reply for example in job.examples] for job in given.end_model.jobs]
    assert [sum(text in ("九块", "能退") for text in of) for of in texts] == [0, 10]
    assert [len(of) for of in texts] == [20, 20]
    assert (first.num_examples, second.num_examples, first.adapter, second.adapter) == (20, 20, {}, {})


def test_agreed_replies_are_no_experience(tmp_path: Path) -> None:
    given = services()
    shops = device(tmp_path, given, share=1.0)
    shops.train("shop_0", 1, None, AT_HOME, public=TAUGHT)
    state = load_state(tmp_path / "shops" / "shop_0", 1)
    assert not {"九块", "能退"} & {label.reply for label in state.pseudo_labels}
    assert all("public" not in name for name in state.natural_ids)
    assert isinstance(given.gateway, EchoGateway)
    assert "九块" not in str(given.gateway.requests)


def test_answering_public_queries_moves_nothing_of_the_shop(tmp_path: Path) -> None:
    """But for seconds, and for the replies themselves."""
    states = {}
    for name, public in (("asked", ASKED), ("alone", None), ("taught", TAUGHT)):
        shops = device(tmp_path / name, services(), share=0.0)
        for server_round in (1, 2):
            shops.train("shop_0", server_round, None, AT_HOME, public=public)
        state = load_state(tmp_path / name / "shops" / "shop_0", 2)
        rows = tuple(replace(row, serve_seconds=0.0, train_seconds=0.0) for row in state.metrics)
        states[name] = replace(state, metrics=rows, adapter={}, optimizer=None, public_replies=()), state
    alone = states["alone"]
    for name in ("asked", "taught"):
        assert states[name][0] == alone[0]
        assert states[name][1].public_replies != alone[1].public_replies == ()
        for own, other in zip(states[name][1].adapter.values(), alone[1].adapter.values(), strict=True):
            assert np.array_equal(own, other)


def test_a_finished_round_gives_the_replies_that_it_gave(tmp_path: Path) -> None:
    """They are kept: asked again beside other shops, a model may say something else."""
    first = device(tmp_path, replace(services(), end_model=MixingModel())).train(
        "shop_0", 1, None, AT_HOME, public=ASKED
    )
    again = device(tmp_path, replace(services(), end_model=CountingModel())).train(
        "shop_0", 1, None, AT_HOME, public=ASKED
    )
    assert first.replies == again.replies and "beside" in first.replies[0]


def test_every_cycle_trains_on_agreed_replies_and_the_last_adapter_answers(tmp_path: Path) -> None:
    given, shops = services(), [shop()]
    two = replace(loop(), evolution=replace(loop().evolution, cycles=2))
    found = ShopDevices(shops, truth_of(shops), given, two, RunDirectory(tmp_path), write_adapter, seed=0)
    found.train("shop_0", 1, None, AT_HOME, public=TAUGHT)
    assert isinstance(given.end_model, CountingModel)
    counts = [sum(example.reply in ("九块", "能退") for example in job.examples) for job in given.end_model.jobs]
    assert counts == [10, 10]
    assert given.end_model.jobs[0].seed == derive_seed(derive_seed(0, "cycle", "shop_0", 1, 0), "fine_tune")


def test_no_public_query_may_be_one_of_the_test(tmp_path: Path) -> None:
    refuse_tested(QUERIES, shop())
    tested = shop().test[0].query
    for query in (tested, f" {tested.upper()}?"):
        with pytest.raises(ConfigError, match="1 of the public queries are asked in the test of shop_0, first"):
            refuse_tested([*QUERIES, query], shop())
        with pytest.raises(ConfigError, match=r"arm\.queries\.path"):
            device(tmp_path, services()).train("shop_0", 1, None, AT_HOME, public=PublicSet((*QUERIES, query)))
    refuse_tested(["!!"], replace(shop(), test=(replace(shop().test[0], query="??"),)))
