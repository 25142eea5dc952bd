from typing import Any

import pytest

from ecc_fed.core.completion import estimate_tokens
from ecc_fed.core.records import OrderRecord, Pair, Shop, Turn
from ecc_fed.teacher.distillation.distill import estimate, identity, plan_queries
from ecc_fed.teacher.wording import TABLE_TWO, PromptLayout, Wording

from ..fakes import ScriptedTeacher, build_prompt

ZH = TABLE_TWO["zh"]


def pair(name: str, session: str, query: str, reply: str, **more: Any) -> Pair:
    return Pair(name, session, "shop", (), query, reply, **more)


def shop(shop_id: str = "shop") -> Shop:
    history = tuple(
        pair(f"h{i}", f"s{i // 2}", f"旧问题{i}", f"旧回答{i}", customer=OrderRecord(f"客人{i}") if i else None)
        for i in range(6)
    )
    stream = (
        pair("a", "s9", "发什么快递", "中通", customer=OrderRecord("王五")),
        pair("b", "s9", "几天到", "三天"),
        Pair("c", "s10", "shop", (Turn("customer", "在吗"), Turn("agent", "在的")), "几天到", "三天"),
    )
    return Shop(shop_id, history, stream, (pair("t", "s11", "测试问题", "测试回答"),))


def test_the_stream_is_asked_with_the_same_recent_examples() -> None:
    queries = plan_queries([shop()], ["stream"], num_examples=4)
    assert [query.pair.pair_id for query in queries] == ["a", "b", "c"]
    assert {query.request.examples for query in queries} == {tuple((f"旧问题{i}", f"旧回答{i}") for i in range(2, 6))}
    first = queries[0].request
    assert (first.purpose, first.customer) == ("distill", OrderRecord("王五"))
    assert first.example_customers == tuple(OrderRecord(f"客人{i}") for i in range(2, 6))
    assert queries[2].request.turns == (Turn("customer", "在吗"), Turn("agent", "在的"), Turn("customer", "几天到"))


@pytest.mark.parametrize("num_examples", [0, 1, 4, 6, 500])
def test_a_history_pair_never_sees_its_own_session(num_examples: int) -> None:
    history = shop().history
    for query in plan_queries([shop()], ["history"], num_examples):
        others = [p for p in history if p.session_id != query.pair.session_id]
        outside = query.pair.session_id not in {p.session_id for p in history[len(history) - min(num_examples, 6) :]}
        pool = list(history) if outside else others
        assert query.request.examples == tuple(
            (p.query, p.reply) for p in pool[len(pool) - min(num_examples, len(pool)) :]
        )
        assert (query.pair.query, query.pair.reply) not in query.request.examples


def test_the_digest_stands_for_examples_and_turns() -> None:
    a, b, c = plan_queries([shop()], ["stream"], 4)
    assert len({a.digest, b.digest, c.digest}) == 3
    assert [q.digest for q in plan_queries([shop()], ["stream"], 4)] == [a.digest, b.digest, c.digest]
    assert plan_queries([shop()], ["stream"], 3)[0].digest != a.digest


def test_identity_changes_with_whatever_changes_the_set() -> None:
    teacher = ScriptedTeacher()

    def of(examples: int = 4, layout: PromptLayout = ZH, redaction: str = "none") -> dict[str, Any]:
        return identity(plan_queries([shop()], ["stream"], examples), teacher, layout, redaction)

    assert of() == of()
    assert of(examples=3) != of()
    assert of(layout=TABLE_TWO["en"]) != of()
    assert of(redaction="rules") != of()
    assert of(layout=Wording(instruction="答").layout("zh")) != of()
    assert "prompt_sha256" not in of(), "sets that were begun before words could be set go on"
    teacher.decoding = {"temperature": 0.6}
    assert of()["decoding"] == {"temperature": 0.6}


def test_the_estimate_counts_what_will_be_asked() -> None:
    teacher = ScriptedTeacher()
    queries = plan_queries([shop()], ["stream"], 4)
    expected = estimate(queries, teacher, ZH)
    prompts = [build_prompt(query.request.examples, query.request.turns) for query in queries]
    assert expected.requests == 3
    assert expected.input_tokens == sum(prompt.tokens for prompt in prompts)
    assert expected.output_tokens == sum(estimate_tokens(reply) for reply in ("中通", "三天", "三天"))
    assert expected.usd == pytest.approx((expected.input_tokens * 1_000 + expected.output_tokens * 2_000) / 1e6)
    assert expected.most_usd == pytest.approx((expected.input_tokens * 1_000 + 3 * 5 * 2_000) / 1e6)
    assert estimate([*queries, *queries], teacher, ZH) == expected, "equal prompts of a shop are asked once"
    assert estimate([], teacher, ZH).requests == 0
