"""Of all that a teacher writes, the reply alone."""

import pytest

from ecc_fed.core.completion import Completion
from ecc_fed.teacher.providers.answers import Answer, completion_of
from ecc_fed.teacher.providers.prices import Price
from ecc_fed.teacher.providers.spoken import begins_thought, marks_thoughts, spoken
from ecc_fed.teacher.wording import TABLE_TWO

ZH = TABLE_TWO["zh"].speakers
REPLY = "亲，这款有货的"
THOUGHTS = "顾客问库存。\n\n客服：要礼貌"


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("<think>", "</think>"),
        ("<thinking>", "</thinking>"),
        ("<Thought>", "</Thought>"),
        ("<reasoning>\n", "\n</reasoning>"),
        ("<seed:think>", "</seed:think>"),
        ("[THINK]", "[/THINK]"),
        ("◁think▷", "◁/think▷"),
        ("<|begin_of_thought|>", "<|end_of_thought|>"),
        ("<|START_THINKING|>", "<|END_THINKING|>"),
        ("<|channel>thought\n", "<channel|>"),
        ("<think>a<think>b</think>", "</think>"),
    ],
)
def test_thoughts_are_cut_with_their_opening_or_without(opening: str, closing: str) -> None:
    assert spoken(f"{opening}{THOUGHTS}{closing}\n\n{REPLY}", ZH) == (REPLY, "thoughts")
    assert spoken(f"{THOUGHTS}{closing}\n\n{REPLY}", ZH) == (REPLY, "thoughts")
    assert spoken(f"{opening}{THOUGHTS}", ZH) == ("", "thoughts")
    assert spoken(f"{THOUGHTS}{closing}", ZH)[0] == ""
    assert marks_thoughts(f"{opening}{THOUGHTS}{closing}")


@pytest.mark.parametrize(
    "text",
    [
        f"<|channel|>analysis<|message|>{THOUGHTS}<|end|><|start|>assistant<|channel|>final<|message|>{REPLY}",
        f"<|channel|>analysis<|message|>{THOUGHTS}<|end|><|channel|>commentary to=x<|message|>a<|channel|>final"
        f"<|message|>{REPLY}<|return|>",
        f"analysis{THOUGHTS}assistantfinal{REPLY}",
        f"{THOUGHTS}\n<answer>{REPLY}</answer>",
        f"<|START_THINKING|>{THOUGHTS}<|END_THINKING|><|START_RESPONSE|>{REPLY}<|END_RESPONSE|>",
        f"<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>{REPLY}<|end_of_solution|>",
    ],
)
def test_of_channels_the_final_one_is_the_reply(text: str) -> None:
    assert spoken(text, ZH) == (REPLY, "thoughts")


@pytest.mark.parametrize("text", [f"<|channel|>analysis<|message|>{THOUGHTS}", f"analysis{THOUGHTS}"])
def test_channels_without_a_final_one_hold_no_reply(text: str) -> None:
    assert spoken(text, ZH) == ("", "thoughts")


@pytest.mark.parametrize(
    "text",
    [
        f"客服：{REPLY}\n顾客：好的\n客服：谢谢",
        f"{REPLY}\n用户：好的",
        f"{REPLY}\n\n**买家**：好的",
        f"Assistant: {REPLY}\nUser: 好的",
        f"{REPLY} 顾客：好的",
        f"{REPLY}<|im_end|>\n<|im_start|>user\n好的",
        f"<|im_start|>assistant\n{REPLY}<|im_end|>\n<|im_start|>user\n好的",
        f"{REPLY}</s><s>[INST] 好的 [/INST]",
    ],
)
def test_turns_behind_the_reply_are_cut(text: str) -> None:
    assert spoken(text, ZH) == (REPLY, "turns")


@pytest.mark.parametrize(
    "text",
    [f"```\n客服：{REPLY}\n```", f"“{REPLY}”", f"**客服**：{REPLY}", f"**客服：** {REPLY}", f"{REPLY}<|im_end|>"],
)
def test_what_wraps_a_reply_is_none_of_it(text: str) -> None:
    assert spoken(text, ZH) == (REPLY, "")


@pytest.mark.parametrize(
    "text",
    [
        "亲，“满减”和“包邮”的",
        "客服电话：400-1",
        "亲\n1. 有货\n2. 包邮",
        "我想想think一下",
        "analysis of it: fine",
        "5 < 6 > 4",
    ],
)
def test_a_plain_reply_stays_as_it_is(text: str) -> None:
    assert spoken(text, ZH) == (text, "")


def made(text: str, max_output_tokens: int) -> Completion:
    return completion_of(Answer(text, "end", False, "m", None), Price(), ZH, max_output_tokens)


def test_a_reply_far_beyond_the_limit_is_refused_and_says_so() -> None:
    assert made("亲" * 20, 10).text == "亲" * 20  # a rule of thumb may be wrong by as much
    refused = made("亲" * 21, 10)
    assert (refused.outcome, refused.text) == ("malformed", None)
    assert refused.detail == "the reply has some 21 tokens, where teacher.max_output_tokens=10 was asked for"
    assert made(f"<think>{'想' * 500}</think>好", 10).text == "好"  # thoughts are none of it


def test_a_prompt_that_ends_within_a_thought_is_told() -> None:
    assert begins_thought("<|im_start|>assistant\n<think>\n") == "<think>"
    assert begins_thought("assistant\n<think>\n\n</think>\n\n") == ""
    assert begins_thought("<think> a") == ""
    assert begins_thought("assistant\n") == ""
