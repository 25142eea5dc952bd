"""What the simulated corpus promises: seeded, split in time, facts stated, leaks and drift known."""

import hashlib
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from ecc_fed.core.errors import CorpusError
from ecc_fed.core.facts import find_form, states_all, states_fact
from ecc_fed.core.records import OrderRecord, Pair, Shop
from ecc_fed.core.seeding import derive_seed
from ecc_fed.core.truth import Fact, ShopTruth, Truth
from ecc_fed.corpus.simulator import SimulatorCorpus
from ecc_fed.corpus.simulator.described import DescribedSession
from ecc_fed.corpus.simulator.dialogue import DialogueWriter
from ecc_fed.corpus.simulator.pack import known_languages, load_pack
from ecc_fed.corpus.simulator.world import World


@pytest.fixture(scope="module", params=known_languages())
def corpus(request: pytest.FixtureRequest) -> SimulatorCorpus:
    return SimulatorCorpus(drift=0.3, language=request.param)


@pytest.fixture(scope="module")
def shops(corpus: SimulatorCorpus) -> list[Shop]:
    return corpus.shops()


@pytest.fixture(scope="module")
def truth(corpus: SimulatorCorpus) -> ShopTruth:
    return truth_of(corpus)


def truth_of(corpus: SimulatorCorpus) -> dict[str, Truth]:
    """Of all shops: pair ids begin with the shop's."""
    return {name: about for shop_id in corpus.shop_ids() for name, about in corpus.truth(shop_id).items()}


def training(shop: Shop) -> tuple[Pair, ...]:
    return (*shop.history, *shop.stream)


def every_pair(shops: list[Shop]) -> list[Pair]:
    return [pair for shop in shops for pair in (*shop.history, *shop.stream, *shop.test)]


def scope_share(truth: ShopTruth) -> float:
    factual = [about for about in truth.values() if about.facts]
    return sum(about.facts[0].scope == "platform" for about in factual) / len(factual)


def test_same_seed_same_world_and_another_seed_another(corpus: SimulatorCorpus, shops: list[Shop]) -> None:
    assert corpus.shops() == shops
    other = replace(corpus, seed=1).shops()
    assert [pair.reply for pair in every_pair(other)] != [pair.reply for pair in every_pair(shops)]


def test_more_shops_leave_the_first_ones_products_alone(corpus: SimulatorCorpus) -> None:
    few, many = corpus.world(), replace(corpus, num_shops=9).world()
    assert [shop.products for shop in few.shops] == [shop.products for shop in many.shops[:6]]


def test_counts_are_exact(shops: list[Shop]) -> None:
    assert len(shops) == 6
    for shop in shops:
        assert (len(shop.history), len(shop.stream), len(shop.test)) == (60, 140, 48)
    ids = [pair.pair_id for pair in every_pair(shops)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("days", [2, 3, 11])
def test_counts_are_exact_for_odd_numbers_too(days: int) -> None:
    (shop,) = SimulatorCorpus(
        num_shops=1, days=days, pairs_per_shop=7, test_pairs_per_shop=3, history_share=0.5
    ).shops()
    assert (len(shop.history), len(shop.stream), len(shop.test)) == (4, 3, 3)


@pytest.mark.parametrize(("days", "test_days"), [(2, 1), (4, 1), (9, 1), (10, 2), (19, 3), (20, 4)])
def test_the_last_fifth_of_the_days_is_the_test(days: int, test_days: int) -> None:
    corpus = SimulatorCorpus(num_shops=1, days=days, pairs_per_shop=30, test_pairs_per_shop=20)
    (shop,) = corpus.shops()
    assert corpus.test_days == test_days
    assert {int(pair.position) for pair in shop.test} == set(range(days - test_days, days))
    assert max(int(pair.position) for pair in shop.stream) == days - test_days - 1
    assert int(shop.history[0].position) == 0


def test_time_runs_from_history_over_stream_to_test(shops: list[Shop]) -> None:
    for shop in shops:
        positions = [pair.position for pair in (*shop.history, *shop.stream, *shop.test)]
        assert positions == sorted(positions)
        assert shop.history[-1].position < shop.stream[0].position
        assert shop.stream[-1].position < 8 <= shop.test[0].position


def test_every_factual_reply_states_its_facts(shops: list[Shop], truth: ShopTruth) -> None:
    factual = [pair for pair in every_pair(shops) if truth[pair.pair_id].facts]
    assert len(factual) > 0.6 * len(every_pair(shops))
    assert all(states_all(pair.reply, truth[pair.pair_id].facts) for pair in factual)
    assert any(len(truth[pair.pair_id].facts) == 2 for pair in factual)


def test_the_same_reply_with_another_value_is_wrong(shops: list[Shop], truth: ShopTruth) -> None:
    told: Counter[tuple[str, str]] = Counter()
    for pair in every_pair(shops[:2]):
        for fact in truth[pair.pair_id].facts:
            told[pair.shop_id, fact.key] += 1
            if told[pair.shop_id, fact.key] > 3:
                continue  # some facts have hundreds of competing forms
            spans = [span for form in fact.accepted for span in find_form(pair.reply, form)]
            said = max((pair.reply[start:end] for start, end in spans), key=len)
            for wrong in fact.competing:
                assert not states_fact(pair.reply.replace(said, wrong), fact), (pair.reply, said, wrong)
                assert not states_fact(f"{pair.reply}，{wrong}", fact), "naming both values is no answer"


def test_style_intents_state_no_fact(corpus: SimulatorCorpus, shops: list[Shop], truth: ShopTruth) -> None:
    style = {intent.name for intent in load_pack(corpus.language).with_scope("none")}
    for pair in every_pair(shops):
        assert bool(truth[pair.pair_id].facts) == (truth[pair.pair_id].intent not in style)


def test_held_out_questions_stay_held_out(shops: list[Shop], truth: ShopTruth) -> None:
    for shop in shops:
        for pair in training(shop):
            form_id = truth[pair.pair_id].form_id
            assert form_id and "_test/" not in form_id
        for pair in shop.test:
            form_id = truth[pair.pair_id].form_id
            assert form_id and all("_test/" in part for part in form_id.split("+"))


def test_a_sixth_of_the_facts_is_reserved(corpus: SimulatorCorpus) -> None:
    for shop in replace(corpus, num_shops=12).world().shops:
        assert sum(slot.reserved for slot in shop.slots) == round(len(shop.slots) / 6)


def test_reserved_facts_occur_in_tests_only(corpus: SimulatorCorpus, shops: list[Shop], truth: ShopTruth) -> None:
    asked = 0
    for shop, simulated in zip(shops, corpus.world().shops, strict=True):
        reserved = {slot.key for slot in simulated.slots if slot.reserved}
        assert 0.1 < len(reserved) / len(simulated.slots) < 0.25
        assert not reserved & {fact.key for pair in training(shop) for fact in truth[pair.pair_id].facts}
        asked += sum(fact.key in reserved for pair in shop.test for fact in truth[pair.pair_id].facts)
    assert asked > 0


def test_no_unseen_facts_when_none_are_wanted(corpus: SimulatorCorpus) -> None:
    certain = replace(corpus, unseen_share=0.0)
    truth = truth_of(certain)
    for shop in certain.shops():
        taught = {fact.key for pair in training(shop) for fact in truth[pair.pair_id].facts}
        assert taught >= {fact.key for pair in shop.test for fact in truth[pair.pair_id].facts}


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 1.0])
def test_platform_share_is_kept(corpus: SimulatorCorpus, share: float) -> None:
    assert scope_share(truth_of(replace(corpus, num_shops=3, platform_share=share))) == pytest.approx(share, abs=0.02)


def test_platform_rules_hold_in_every_shop_and_shop_facts_differ(
    corpus: SimulatorCorpus, shops: list[Shop], truth: ShopTruth
) -> None:
    def stated(shop: Shop, scope: str) -> dict[str, tuple[str, ...]]:
        facts = [fact for pair in shop.test for fact in truth[pair.pair_id].facts]
        return {fact.key: fact.accepted for fact in facts if fact.scope == scope}

    for other in shops[1:]:
        common = stated(shops[0], "platform").items() & stated(other, "platform").items()
        assert {key for key, _ in common} == stated(shops[0], "platform").keys() & stated(other, "platform").keys()
    couriers = [slot.timeline[0] for shop in replace(corpus, drift=0.1).world().shops for slot in shop.slots[:1]]
    assert len(set(couriers)) == len(couriers)
    assert len({shop.description for shop in shops}) == len(shops)


def test_facts_drift_once_and_tests_expect_the_current_value(
    corpus: SimulatorCorpus, shops: list[Shop], truth: ShopTruth
) -> None:
    changes = 0
    for shop, simulated in zip(shops, corpus.world().shops, strict=True):
        slots = {slot.key: slot for slot in simulated.slots}
        for pair in (*training(shop), *shop.test):
            for fact in truth[pair.pair_id].facts:
                slot = slots.get(fact.key)
                assert slot is None or fact.accepted == slot.value_at(int(pair.position))
                assert slot is None or (fact.since is None) == (len(slot.timeline) == 1)
        for slot in slots.values():
            if len(slot.timeline) > 1:
                (_, old), (day, new) = slot.timeline
                changes += 1
                assert old != new and 0 < day < 8 and not slot.reserved
                assert not states_fact(old[0], slot.fact_at(9)) and states_fact(new[0], slot.fact_at(9))
    assert changes >= 6
    assert all(len(slot.timeline) == 1 for shop in replace(corpus, drift=0.0).world().shops for slot in shop.slots)


def test_the_platforms_rules_change_for_all_shops_at_once_and_leave_the_shops_as_they_are() -> None:
    before, after = (SimulatorCorpus(platform_share=0.5, platform_drift=share).world() for share in (0.0, 0.5))

    def said(world: World) -> list[tuple[object, ...]]:
        return [(slot.key, slot.timeline, slot.reserved, slot.surface) for shop in world.shops for slot in shop.slots]

    assert said(before) == said(after)
    changed = [len(slot.timeline) > 1 for slot in after.platform]
    assert sum(changed) == round(0.5 * len(changed)) and not any(len(slot.timeline) > 1 for slot in before.platform)
    assert [slot.timeline[0] for slot in before.platform] == [slot.timeline[0] for slot in after.platform]


def test_all_that_changes_can_change_on_one_day() -> None:
    corpus = SimulatorCorpus(num_shops=3, drift=0.4, platform_drift=1.0, drift_day=4, platform_share=0.5, days=12)
    world = corpus.world()
    slots = [*world.platform, *(slot for shop in world.shops for slot in shop.slots)]
    assert {slot.timeline[1][0] for slot in slots if len(slot.timeline) > 1} == {4}
    assert all(len(slot.timeline) == 2 for slot in world.platform)
    drawn = replace(corpus, drift_day=None).world()
    days = {slot.timeline[1][0] for shop in drawn.shops for slot in shop.slots if len(slot.timeline) > 1}
    assert len(days) > 1, "else each fact has a day of its own"
    platform = {slot.key: slot for slot in world.platform}
    truth = corpus.truth("shop_0001")
    facts = [(pair, fact) for pair in corpus.shop("shop_0001").test for fact in truth[pair.pair_id].facts]
    told = [fact for _, fact in facts if fact.key in platform]
    assert told and all(fact.accepted == platform[fact.key].timeline[1][1] and fact.since == 4.0 for fact in told)


def test_on_the_day_a_fact_changes_the_new_value_is_right_and_the_old_one_wrong(corpus: SimulatorCorpus) -> None:
    changed = [slot for shop in corpus.world().shops for slot in shop.slots if len(slot.timeline) > 1]
    for slot in changed:
        (_, old), (day, new) = slot.timeline
        before, after = slot.fact_at(day - 1), slot.fact_at(day)
        assert (before.accepted, after.accepted) == (slot.value_at(day - 1), slot.value_at(day)) == (old, new)
        assert slot.spoken_at(day - 1) in old and slot.spoken_at(day) in new
        assert slot.fact_at(0).accepted == old and slot.fact_at(day + 100).accepted == new
        assert (before.since, after.since, slot.fact_at(day + 100).since) == (0, day, day)
        assert (before.key, before.kind, before.scope) == (after.key, after.kind, after.scope)
        for form in set(old) - set(new):
            assert states_fact(form, before) and not states_fact(form, after)
        for form in set(new) - set(old):
            assert states_fact(form, after) and not states_fact(form, before)


def test_nobody_is_told_an_old_value_from_the_day_on_that_it_changed(
    corpus: SimulatorCorpus, shops: list[Shop], truth: ShopTruth
) -> None:
    told = {"old": 0, "new": 0}
    for shop, simulated in zip(shops, corpus.world().shops, strict=True):
        changed = {slot.key: slot.timeline for slot in simulated.slots if len(slot.timeline) > 1}
        for pair in (*training(shop), *shop.test):
            for fact in truth[pair.pair_id].facts:
                if fact.key in changed:
                    (_, old), (day, new) = changed[fact.key]
                    value = new if pair.position >= day else old
                    told["new" if value is new else "old"] += 1
                    assert fact.accepted == value, (pair.pair_id, fact.key)
                    assert any(find_form(pair.reply, form) for form in value)
    assert min(told.values()) > 10


def test_unless_told_otherwise_the_corpus_is_that_of_the_figures() -> None:
    plain = SimulatorCorpus()
    assert plain == SimulatorCorpus(
        num_shops=6,
        days=10,
        pairs_per_shop=200,
        test_pairs_per_shop=48,
        history_share=0.3,
        platform_share=0.2,
        unseen_share=0.1,
        drift=0.1,
        typo_rate=0.1,
        language="zh",
        seed=0,
    )


def test_dialogues_are_the_same_for_good() -> None:
    # Frozen: another digest is another corpus, and every published figure of the simulator moves.
    digest = hashlib.sha256()
    for shop in SimulatorCorpus(num_shops=3, pairs_per_shop=60, test_pairs_per_shop=20, drift=0.3, seed=5).shops():
        for pair in (*training(shop), *shop.test):
            said = [turn.text for turn in pair.context]
            digest.update(repr((pair.pair_id, said, pair.query, pair.reply, pair.position)).encode())
    assert digest.hexdigest()[:16] == "786978b56c5f5f99"


def test_private_values_stand_verbatim_where_they_are_said_to(shops: list[Shop], truth: ShopTruth) -> None:
    kinds, places = set(), set()
    for pair in every_pair(shops):
        parts = {"context": "\n".join(turn.text for turn in pair.context), "query": pair.query, "reply": pair.reply}
        for value in truth[pair.pair_id].private_values:
            assert value.said_in == tuple(place for place, text in parts.items() if value.value in text) != ()
            kinds.add(value.kind)
            places |= set(value.said_in)
    assert kinds == {"name", "phone", "address", "order", "parcel"}
    assert places == {"context", "query", "reply"}


def test_every_private_value_of_a_customer_is_listed(
    corpus: SimulatorCorpus, shops: list[Shop], truth: ShopTruth
) -> None:
    for shop in shops:
        customers = {session.session_id: session.customer for session in corpus.sessions(shop.shop_id)}
        for pair in every_pair([shop]):
            customer = customers[pair.session_id]
            text = "\n".join([*(turn.text for turn in pair.prompt), pair.reply])
            own = {customer.name, customer.phone, customer.address, customer.order, customer.parcel}
            listed = {value.value for value in truth[pair.pair_id].private_values}
            assert listed == {value for value in own if value in text}


def test_an_order_record_holds_its_customer_whatever_was_said(corpus: SimulatorCorpus, shops: list[Shop]) -> None:
    for shop in shops:
        customers = {session.session_id: session.customer for session in corpus.sessions(shop.shop_id)}
        records: dict[str, set[OrderRecord | None]] = {}
        for pair in every_pair([shop]):
            records.setdefault(pair.session_id, set()).add(pair.customer)
        assert all(len(of_one) == 1 for of_one in records.values()), "one customer a session, one record or none"
        for session_id, (record,) in records.items():
            customer = customers[session_id]
            assert record is None or record == OrderRecord(
                customer.name, customer.phone, customer.address, (customer.order,), (customer.parcel,)
            )


def test_the_share_without_a_record_is_declared_and_moves_nothing_else(corpus: SimulatorCorpus) -> None:
    every = replace(corpus, customers_without_record=0.0, seed=3)
    told = [every.tell(shop_id) for shop_id in every.shop_ids()]
    assert all(pair.customer is not None for pair in every_pair([shop for shop, _ in told]))
    for share in (0.1, 0.5, 1.0):
        other = replace(every, customers_without_record=share)
        customers = {}
        for shop_id, (shop, truth) in zip(other.shop_ids(), told, strict=True):
            assert other.truth(shop_id) == truth
            pairs = every_pair([other.shop(shop_id)])
            assert [replace(pair, customer=None) for pair in pairs] == [
                replace(pair, customer=None) for pair in every_pair([shop])
            ]
            customers |= {pair.session_id: pair.customer for pair in pairs}
        # Frozen: a session's own stream says whether its customer has a record.
        assert all(
            (record is None) == (Random(derive_seed(3, "order_record", session_id)).random() < share)
            for session_id, record in customers.items()
        )
        without = sum(record is None for record in customers.values()) / len(customers)
        assert without == pytest.approx(share, abs=0.05)


def test_one_shop_is_written_without_the_others(corpus: SimulatorCorpus, shops: list[Shop], monkeypatch) -> None:
    written: set[str] = set()

    class Watched(DialogueWriter):
        def write(self, session_id: str, *rest: Any) -> DescribedSession:
            written.add(session_id.split("/")[0])
            return super().write(session_id, *rest)

    monkeypatch.setattr("ecc_fed.corpus.simulator.corpus.DialogueWriter", Watched)
    alone = replace(corpus)
    assert alone.tell("shop_0002")[0] == shops[2]
    assert written == {"shop_0002"}


def test_a_shop_that_is_none_is_refused_by_name(corpus: SimulatorCorpus) -> None:
    for ask in (corpus.shop, corpus.truth, corpus.sessions):
        with pytest.raises(CorpusError, match="shop shop_0099 is none of the 6 simulated shops"):
            ask("shop_0099")


def test_sessions_are_turn_by_turn_described(corpus: SimulatorCorpus, shops: list[Shop]) -> None:
    sessions = [session for shop_id in corpus.shop_ids() for session in corpus.sessions(shop_id)]
    for session in sessions:
        described = {len(session.intents), len(session.facts), len(session.form_ids)}
        assert described == {len(session.turns)} and len(session.turns) % 2 == 0
        assert {turn.role for turn in session.turns[::2]} == {"customer"}
        assert not any(session.facts[::2])
    assert sum(len(session.turns) // 2 for session in sessions) == len(every_pair(shops))
    assert sum(len(session.turns) >= 4 for session in sessions) > 0.8 * len(sessions)


def test_follow_ups_depend_on_context(shops: list[Shop], truth: ShopTruth) -> None:
    pairs = every_pair(shops)
    form_ids = {pair.pair_id: truth[pair.pair_id].form_id or "" for pair in pairs}
    switched = [pair for pair in pairs if form_ids[pair.pair_id].startswith("customer/switch")]
    elliptic = [pair for pair in pairs if "/ellipsis" in form_ids[pair.pair_id]]
    assert len(switched) > 30 and len(elliptic) > 100
    assert all(pair.context and truth[pair.pair_id].facts for pair in switched + elliptic)


@pytest.mark.parametrize(
    ("language", "words"),
    [("zh", ("神马", "什莫", "快第", "肿么")), ("en", ("shiping", "couriar", "delivary", "mutch"))],
)
def test_typos_come_at_the_rate_asked_for(language: str, words: tuple[str, ...]) -> None:
    clean = SimulatorCorpus(num_shops=2, typo_rate=0.0, language=language).shops()
    slips = SimulatorCorpus(num_shops=2, typo_rate=1.0, language=language)
    typed, truth = slips.shops(), truth_of(slips)
    assert set(words) <= {slip for each in load_pack(language).customer["typos"].values() for slip in each}
    assert not any(word in pair.query for pair in every_pair(clean) for word in words)
    assert any(word in pair.query for pair in every_pair(typed) for word in words)
    assert any(about.facts for about in truth.values())


def test_replies_are_short_and_seldom_repeat(corpus: SimulatorCorpus, shops: list[Shop], truth: ShopTruth) -> None:
    shortest, longest = {"zh": (6, 30), "en": (20, 90)}[corpus.language]
    for shop in shops:
        replies = [pair.reply for pair in training(shop) if truth[pair.pair_id].facts]
        assert shortest < sum(map(len, replies)) / len(replies) < longest
        assert len(set(replies)) > 0.5 * len(replies)


def test_facts_recur_in_training_in_several_forms(shops: list[Shop], truth: ShopTruth) -> None:
    for shop in shops:
        forms: dict[str, set[str]] = {}
        for pair in training(shop):
            for fact in truth[pair.pair_id].facts:
                forms.setdefault(fact.key, set()).add(pair.query)
        assert 15 <= len(forms) <= 30
        assert all(len(queries) >= 2 for queries in forms.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_shops": 0}, r"num_shops=0 is too small; give at least 1"),
        ({"days": 1}, r"days=1 is too small; give at least 2"),
        ({"pairs_per_shop": 0}, r"pairs_per_shop=0"),
        ({"test_pairs_per_shop": -3}, r"test_pairs_per_shop=-3"),
        ({"platform_share": 1.5}, r"platform_share=1\.5 is no share; give a number from 0 to 1"),
        ({"drift": -0.1}, r"drift=-0\.1"),
        ({"platform_drift": 2.0}, r"platform_drift=2\.0 is no share"),
        ({"drift_day": 0}, r"drift_day=0 is no later training day; give a number from 1 to 7"),
        ({"drift_day": 8}, r"drift_day=8 is no later training day"),
        ({"canaries": [1, 0]}, r"canaries=\[1, 0\]: each is a number of pairs, at least 1"),
        ({"canary_place": "context"}, r"canary_place=context: choose one of reply, query, pseudo_label, everywhere"),
        ({"typo_rate": float("nan")}, r"typo_rate=nan"),
        ({"customers_without_record": 1.01}, r"customers_without_record=1\.01 is no share"),
        ({"language": "tlh"}, r"language='tlh' has no pack; choose one of: en, zh"),
        ({"num_shops": 5000}, r"num_shops=5000.*can keep only 1200 shops distinct"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        SimulatorCorpus(**arguments)  # type: ignore[arg-type]


def test_many_shops_keep_their_names_apart() -> None:
    world = SimulatorCorpus(num_shops=400).world()
    assert len({shop.name for shop in world.shops}) == 400
    assert len({shop.shop_id for shop in world.shops}) == 400


def test_a_fact_is_grouped_by_kind_and_keyed_by_product(shops: list[Shop], truth: ShopTruth) -> None:
    prices = {f for pair in every_pair(shops) for f in truth[pair.pair_id].facts if f.kind == "price"}
    assert prices and all(isinstance(fact, Fact) and fact.key.startswith("price/") for fact in prices)
