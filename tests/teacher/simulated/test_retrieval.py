import time
from itertools import pairwise

import numpy as np
import pytest

from ecc_fed.core.completion import estimate_tokens
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.facts import states_all
from ecc_fed.core.records import Turn
from ecc_fed.corpus.simulator import SimulatorCorpus
from ecc_fed.teacher.prompts import few_shot_part, prompt_after
from ecc_fed.teacher.simulated.encoding import CharacterEncoder
from ecc_fed.teacher.simulated.retrieval import WITHOUT_EXAMPLES, RetrievalTeacher, rarity
from ecc_fed.teacher.wording import TABLE_TWO

from ..fakes import build_prompt, gateway, request

SHOP = (
    ("请问发什么快递", "亲，默认发中通哦"),
    ("今天几点前下单能发货", "亲，下午四点前下单当天发哦"),
    ("坚果礼盒多少钱", "亲，坚果礼盒 89 元哦"),
    ("可以开发票吗", "亲，可以开电子发票哦"),
)


def ask(teacher, *texts, examples=SHOP, language="zh"):
    turns = [Turn("agent" if position % 2 else "customer", text) for position, text in enumerate(texts)]
    (completion,) = teacher.complete([build_prompt(examples, turns, language=language)], 60.0)
    return completion


@pytest.mark.parametrize(
    ("query", "answer"),
    [("发什么快递呀", 0), ("几点前下单今天发货", 1), ("坚果礼盒多少钱呢", 2), ("能开发票吗", 3), ("能开发票吗！！", 3)],
)
def test_the_nearest_example_answers(query, answer):
    assert ask(RetrievalTeacher(), query).text == SHOP[answer][1]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_it_states_most_facts_of_simulated_shops_in_either_language(language):
    """By words in common alone; a meaning encoder is not asked."""
    corpus = SimulatorCorpus(language=language, num_shops=2, platform_share=0.4, unseen_share=0.0, drift=0.0)
    right = []
    for shop_id in corpus.shop_ids():
        shop, truth = corpus.shop(shop_id), corpus.truth(shop_id)
        examples = [(pair.query, pair.reply) for pair in (*shop.history, *shop.stream)]
        asked = [pair for pair in shop.test if truth[pair.pair_id].facts]
        part = few_shot_part(examples, TABLE_TWO[language])
        answers = RetrievalTeacher().complete([prompt_after(part, pair.prompt) for pair in asked], 60.0)
        right += [
            states_all(answer.text, truth[pair.pair_id].facts) for pair, answer in zip(asked, answers, strict=True)
        ]
    assert 0.6 < sum(right) / len(right) < 0.85


class LookUp:
    """A dense encoder: every text has its own random direction, every feature is in every text."""

    def __init__(self, texts):
        self.rows = dict(zip(texts, np.random.default_rng(0).normal(size=(len(texts), 8)), strict=True))

    def encode(self, texts):
        rows = np.array([self.rows.get(text, np.ones(8)) for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_over_a_dense_encoder_it_is_plain_cosine_search():
    texts = [f"文{number}" for number in range(60)]
    examples = [(text, f"答{text}") for text in texts[:40]]
    encoder = LookUp(texts)
    teacher = RetrievalTeacher(encoder, answer_weight=0)
    questions = encoder.encode(texts[:40]).astype(np.float64)
    for query in texts:
        nearest = int(np.argmax(questions @ encoder.encode([query])[0].astype(np.float64)))
        assert ask(teacher, query, examples=examples).text == f"答{texts[nearest]}"


def test_the_mix_is_as_declared():
    texts = [f"文{number}" for number in range(50)]
    examples = list(zip(texts[:20], texts[20:40], strict=True))
    encoder = LookUp([*texts, *(f"{a} {b}" for a in texts[40:] for b in texts[40:])])
    x, y = encoder.encode(texts[:20]), encoder.encode(texts[20:40])
    teacher = RetrievalTeacher(encoder, context_weight=0.4, answer_weight=0.7)
    for before, last in pairwise(texts[40:]):
        alone, together = encoder.encode([last, f"{before} {last}"])
        scores = 0.6 * (x @ alone + 0.7 * y @ alone) + 0.4 * (x @ together + 0.7 * y @ together)
        assert ask(teacher, before, "好的", last, examples=examples).text == texts[20 + int(np.argmax(scores))]


def test_rarity_is_inverse_document_frequency_and_even_over_dense_features():
    present = np.array([[1, 1, 0], [1, 0, 0]], dtype=bool)
    np.testing.assert_allclose(rarity(present), np.log([3 / 2.5, 3 / 1.5, 3 / 0.5]), rtol=1e-6)
    assert np.ptp(rarity(np.ones((7, 4), dtype=bool))) == 0
    assert rarity(np.ones((100_000, 1), dtype=bool))[0] > 0


def test_what_every_question_says_counts_little():
    examples = tuple((f"老板请问一下{topic}", topic) for topic in ("发票", "快递", "尺码", "保修"))
    assert ask(RetrievalTeacher(answer_weight=0), "老板请问一下哈，保修？", examples=examples).text == "保修"
    assert ask(RetrievalTeacher(answer_weight=0), "尺码老板请问", examples=examples).text == "尺码"


def test_where_a_fact_changed_the_latest_answer_wins():
    drifted = (*SHOP, ("请问发什么快递", "亲，现在改发圆通了哦"))
    assert ask(RetrievalTeacher(), "请问发什么快递", examples=drifted).text == "亲，现在改发圆通了哦"
    back = (*drifted, SHOP[0])
    assert ask(RetrievalTeacher(), "请问发什么快递", examples=back).text == SHOP[0][1]


def test_nearly_equal_questions_can_count_as_one():
    drifted = (*SHOP, ("请问都发什么快递", "亲，现在改发圆通了哦"))
    assert ask(RetrievalTeacher(), "请问发什么快递", examples=drifted).text == SHOP[0][1]
    teacher = RetrievalTeacher(same_question=0.6)
    assert ask(teacher, "请问发什么快递", examples=drifted).text == "亲，现在改发圆通了哦"


def test_an_elliptic_question_is_read_with_the_one_before():
    examples = [
        (f"{colour}礼盒{asked}", f"{colour}{asked}")
        for colour in ("红色", "蓝色", "绿色", "白色")
        for asked in ("多少钱", "有货吗", "能退吗")
    ]
    for asked in ("多少钱", "有货吗", "能退吗"):
        for colour in ("蓝色", "绿色", "白色"):
            answer = ask(RetrievalTeacher(), f"红色礼盒{asked}", "亲，稍等", f"那{colour}呢", examples=examples).text
            assert answer == f"{colour}{asked}"


def test_without_examples_it_promises_nothing():
    for language, line in WITHOUT_EXAMPLES.items():
        assert ask(RetrievalTeacher(), "发什么快递", examples=(), language=language).text == line


def test_it_says_that_it_is_simulated():
    teacher = RetrievalTeacher()
    assert "simulated" in teacher.name and "simulated" in teacher.model
    assert "simulated" in ask(teacher, "在吗").model_version
    assert gateway(teacher)[0].name == teacher.name


def test_price_latency_and_tokens_are_as_declared():
    teacher = RetrievalTeacher(
        latency_seconds=900.0, input_usd_per_million_tokens=2.0, output_usd_per_million_tokens=8.0
    )
    asked = request("发什么快递", examples=SHOP)
    (reply,) = gateway(teacher)[0].answer([asked])
    prompt = build_prompt(SHOP, asked.turns)
    assert reply.latency_seconds == 900.0
    assert (reply.input_tokens, reply.output_tokens) == (prompt.tokens, estimate_tokens(reply.text))
    assert reply.cost_usd == pytest.approx((reply.input_tokens * 2 + reply.output_tokens * 8) / 1e6)


def test_long_answers_are_cut():
    completion = ask(RetrievalTeacher(max_output_tokens=3), "发什么快递")
    assert completion.text == "亲，默" and completion.output_tokens == 3


def test_errors_come_at_their_rate_and_are_wrong():
    prompts = [build_prompt(SHOP, (Turn("customer", f"{SHOP[0][0]}{number}"),)) for number in range(1_000)]
    right = [c.text for c in RetrievalTeacher().complete(prompts, 60.0)]
    wrong = [c.text for c in RetrievalTeacher(error_rate=1.0).complete(prompts, 60.0)]
    some = [c.text for c in RetrievalTeacher(error_rate=0.2).complete(prompts, 60.0)]
    assert all(a != b and b in {answer for _, answer in SHOP} for a, b in zip(right, wrong, strict=True))
    assert set(wrong) == {answer for _, answer in SHOP[1:]}
    rate = np.mean([a != b for a, b in zip(right, some, strict=True)])
    assert abs(rate - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 1_000)


def test_errors_depend_on_seed_and_prompt_alone():
    prompts = [build_prompt(SHOP, (Turn("customer", f"问{number}"),)) for number in range(60)]

    def texts(seed, order):
        teacher = RetrievalTeacher(error_rate=0.5, seed=seed)
        answered = {}
        for index in order:
            (completion,) = teacher.complete([prompts[index]], 60.0)
            answered[index] = completion.text
        return [answered[index] for index in range(60)]

    together = [c.text for c in RetrievalTeacher(error_rate=0.5, seed=1).complete(prompts, 60.0)]
    assert texts(1, range(60)) == texts(1, reversed(range(60))) == together
    assert texts(2, range(60)) != together


def test_where_every_answer_is_the_same_a_wrong_one_is_the_empty_promise():
    teacher = RetrievalTeacher(error_rate=1.0)
    assert ask(teacher, "发什么快递", examples=SHOP[:1]).text == WITHOUT_EXAMPLES["zh"]


class CountingEncoder(CharacterEncoder):
    def __init__(self, dimensions=64):
        super().__init__(dimensions)
        self.texts = 0

    def encode(self, texts):
        self.texts += len(texts)
        return super().encode(texts)


def test_each_text_is_encoded_once():
    encoder = CountingEncoder()
    teacher = RetrievalTeacher(encoder)
    before = encoder.texts
    for _ in range(3):
        ask(teacher, "发什么快递呢")
    assert encoder.texts - before == 2 * len(SHOP) + 1
    ask(teacher, "发什么快递呢", examples=(*SHOP, ("新问题", "新答案")))
    assert encoder.texts - before == 2 * len(SHOP) + 3


def test_its_memory_stays_bounded(monkeypatch):
    monkeypatch.setattr("ecc_fed.teacher.simulated.retrieval._REMEMBERED_BYTES", 20 * 2048 * 4)
    teacher = RetrievalTeacher()
    for number in range(100):
        assert ask(teacher, f"发什么快递{number}").text == SHOP[0][1]
        assert len(teacher._vectors) <= 21


def test_other_encoders_and_settings_have_other_cache_keys():
    teachers = [
        RetrievalTeacher(),
        RetrievalTeacher(CharacterEncoder(64)),
        RetrievalTeacher(context_weight=0.5),
        RetrievalTeacher(answer_weight=0.5),
        RetrievalTeacher(same_question=0.9),
        RetrievalTeacher(error_rate=0.1),
        RetrievalTeacher(max_output_tokens=9),
        RetrievalTeacher(seed=1),
    ]
    assert len({tuple(sorted(teacher.decoding.items())) for teacher in teachers}) == len(teachers)
    assert RetrievalTeacher().decoding == teachers[0].decoding


def test_it_never_waits(monkeypatch):
    def no_sleep(seconds):
        raise AssertionError("slept")

    monkeypatch.setattr(time, "sleep", no_sleep)
    assert ask(RetrievalTeacher(latency_seconds=1e6), "发什么快递").latency_seconds == 1e6


@pytest.mark.parametrize("query", ["👍🏽", "？？？", "\ud83d", "1"])
def test_odd_questions_get_some_answer(query):
    assert ask(RetrievalTeacher(), query).text in {answer for _, answer in SHOP}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("context_weight", 1.1),
        ("answer_weight", 11),
        ("same_question", -0.1),
        ("error_rate", 2),
        ("error_rate", "half"),
        ("latency_seconds", float("inf")),
        ("input_usd_per_million_tokens", -1),
        ("output_usd_per_million_tokens", float("nan")),
        ("max_output_tokens", 0),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ConfigError, match=rf"teacher\.{name}=.* is out of range: a number from"):
        RetrievalTeacher(**{name: value})
