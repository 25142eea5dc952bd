"""What a model reads when values are masked before it learns, and what it reads when it serves."""

from dataclasses import replace
from pathlib import Path

import pytest

from ecc_fed.core.records import Example, FineTuneSettings, OrderRecord, Pair, PseudoLabel, Shop, Turn
from ecc_fed.core.run_directory import RunDirectory
from ecc_fed.evolution.device import ShopDevices
from ecc_fed.evolution.experience import Experience
from ecc_fed.evolution.pool import POOL, PooledDevices
from ecc_fed.evolution.settings import Services, WarmStartSettings
from ecc_fed.evolution.shop_state import load_state
from ecc_fed.evolution.text_masks import masked
from ecc_fed.evolution.warm_start import shared_rows
from ecc_fed.privacy.redaction.redactors import OrderRecordRedaction
from ecc_fed.teacher.distillation.generated import Generated
from tests.evolution.fakes import CountingModel, EchoGateway, services, settings, shop, write_adapter

RECORD = OrderRecord("王志强", "13800001111", "北京市朝阳区人民路12号", ("2345678901234567",), ("SF123456789012",))
SECRETS = ("王志强", "13800001111", "2345678901234567")
SAID = "王志强问2345678901234567，电话13800001111"
MASKED = "[姓名x]问[订单号x]，电话[电话x]"


def private(pair: Pair) -> Pair:
    return replace(pair, query=SAID, reply=f"亲爱的{SAID}", customer=RECORD)


def a_shop() -> Shop:
    plain = shop()
    return replace(
        plain,
        history=tuple(map(private, plain.history)),
        stream=tuple(map(private, plain.stream)),
        test=tuple(map(private, plain.test)),
    )


def trained_on(folder: Path, given: Services, warm: bool = False) -> list[Example]:
    shops = [a_shop()]
    start = WarmStartSettings("set", 0.5, 2) if warm else WarmStartSettings()
    rows = [Generated("shop_0", pair.pair_id, pair.prompt, f"cloud {SAID}", "cloud-1") for pair in shops[0].history]
    generated = {"shop_0": shared_rows(rows)} if warm else None
    # Half of the stream has an agent's answer, the rest the cloud's.
    loop = settings(fine_tune=FineTuneSettings(steps=4, batch_size=4), warm_start=start, human_share=0.5)
    devices = ShopDevices(shops, {}, given, loop, RunDirectory(folder), write_adapter, 0, generated=generated)
    devices.train("shop_0", 1, None)
    assert isinstance(given.end_model, CountingModel)
    return [example for job in given.end_model.jobs for example in job.examples]


def texts(example: Example) -> str:
    return "\n".join([*(turn.text for turn in example.prompt), example.reply])


@pytest.mark.parametrize("warm", [False, True])
def test_nothing_that_trains_holds_a_value(tmp_path: Path, warm: bool) -> None:
    given = replace(services(verdict=False), training_redactor=OrderRecordRedaction())
    examples = trained_on(tmp_path, given, warm)
    assert any(example.reply.startswith("cloud") for example in examples)
    assert any(example.reply.startswith("亲爱的") for example in examples)
    for example in examples:
        assert MASKED in example.reply and example.prompt[-1].text == MASKED
        assert not any(secret in texts(example) for secret in SECRETS)


def test_a_name_that_the_customer_told_is_masked_in_the_reply_too() -> None:
    """Nobody has a record of it, and nothing announces it there."""
    plain = shop()
    before = (Turn("customer", "我叫王志强"), Turn("agent", "嗯嗯"))
    said = replace(plain.history[0], context=before, query="是王志强", reply="给王志强留着", customer=None)
    (learned,) = masked(Experience((said,), ()), OrderRecordRedaction(), plain).natural
    assert [turn.text for turn in learned.prompt] == ["我叫[姓名x]", "嗯嗯", "是[姓名x]"]
    assert learned.reply == "给[姓名x]留着"


def test_without_a_redactor_dialogues_are_learned_as_they_are(tmp_path: Path) -> None:
    examples = trained_on(tmp_path, services(verdict=False))
    assert examples and all(SAID in example.reply and SAID in example.prompt[-1].text for example in examples)


def test_customers_are_served_and_the_cloud_is_asked_as_before(tmp_path: Path) -> None:
    """Masks are for learning: prompts, the cloud's questions and what the shop keeps hold what was said."""
    given = replace(services(verdict=False), training_redactor=OrderRecordRedaction())
    trained_on(tmp_path, given)
    assert isinstance(given.gateway, EchoGateway)
    assert all(request.turns[-1].text == SAID for request in given.gateway.requests)
    state = load_state(RunDirectory(tmp_path).shop("shop_0"), 1)
    assert state.pseudo_labels and all(SAID in label.reply for label in state.pseudo_labels)


def test_a_label_is_masked_by_the_record_of_its_pair() -> None:
    """A name alone in a sentence: no pattern finds it."""
    prompt = (Turn("customer", "在吗"),)
    label = PseudoLabel("p", prompt, "志强您好，王志强", "cloud-1", "low_score", 1)
    pair = Pair("p", "s", "shop", (), "在吗", "在的", customer=RECORD)
    own = Shop("shop", (), (pair,), ())
    (after,) = masked(Experience((), (label,)), OrderRecordRedaction(), own).pseudo_labels
    assert after.reply == "志强您好，[姓名x]"
    assert masked(Experience((), (label,)), OrderRecordRedaction(), Shop("shop", (), (), ())).pseudo_labels == (label,)
    assert masked(Experience((pair,), (label,)), None, own) == Experience((pair,), (label,))


def test_a_pool_learns_what_is_masked(tmp_path: Path) -> None:
    given = replace(services(verdict=False), training_redactor=OrderRecordRedaction())
    devices = ShopDevices([a_shop()], {}, given, settings(), RunDirectory(tmp_path), write_adapter, 0)
    PooledDevices(devices, lambda server_round: ["shop_0"]).train(POOL, 1, None)
    assert isinstance(given.end_model, CountingModel)
    (job,) = given.end_model.jobs
    assert all(MASKED in example.reply for example in job.examples)
