"""Where an agent's turn ends, whatever the tokenizer calls its eos_token."""

import pytest

from ecc_fed.models.turn_end import AgentTurn, agent_turn

from .chat_tokenizers import CHATML, INST, TRIMMED, byte_level, prefixed, unigram

OPENED = "{% if add_generation_prompt %}assistant: {% endif %}"
NEXT_OPENS = "{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}" + OPENED
SPELLED = "{% for m in messages %}{{ m.role }}: {{ m.content }} [END]\n{% endfor %}" + OPENED
BARE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}" + OPENED
NO_AGENT_LAST = "{% if messages[-1].role != 'user' %}{{ raise_exception('user last') }}{% endif %}" + CHATML


def test_a_mark_that_is_not_eos_ends_a_turn() -> None:
    turn = agent_turn(byte_level(CHATML, eos="<|endoftext|>"))
    assert (turn.opening, turn.closing, turn.end_ids, turn.end_sequence) == ("", "<|im_end|>", {0, 2}, ())
    assert agent_turn(byte_level(CHATML)).end_ids == {2}


def test_what_stands_before_text_and_mark_belongs_to_the_turn() -> None:
    turn = agent_turn(prefixed(legacy=True, template=INST))
    assert (turn.opening, turn.closing, turn.end_ids) == (" ", "</s>", {2})


def test_trimming_is_the_turns_too() -> None:
    place = agent_turn(unigram(TRIMMED)).place
    assert (place.trims_start, place.trims_end) == (True, True)
    assert place.shown(" a b ") == "a b"


def test_where_no_mark_ends_a_turn_the_next_ones_opening_does() -> None:
    turn = agent_turn(byte_level(NEXT_OPENS, eos="<|endoftext|>"))
    assert (turn.closing, turn.end_ids) == ("", {0, 1})


CHANNELS = (
    "{% for m in messages %}<|start|>{{ m.role }}{% if m.role == 'assistant' %}<|channel|>final{% endif %}<|message|>"
    "{{ m.content }}{% if loop.last and m.role == 'assistant' %}<|return|>{% else %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)


def test_a_channel_opens_a_turn_and_only_its_last_mark_ends_it() -> None:
    specials = ("<|start|>", "<|channel|>", "<|message|>", "<|return|>", "<|end|>")
    tokenizer = byte_level(CHANNELS, eos="<|endoftext|>", specials=specials)
    turn = agent_turn(tokenizer)
    assert (turn.opening, turn.closing) == ("<|channel|>final<|message|>", "<|return|>")
    assert turn.end_ids == set(tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|return|>"]))


def test_a_mark_in_several_tokens_is_a_sequence() -> None:
    tokenizer = byte_level(SPELLED)
    turn = agent_turn(tokenizer)
    assert (turn.closing, turn.end_ids) == (" [END]", {2})
    assert tokenizer.decode(list(turn.end_sequence)) == " [END]"


ALWAYS_OPEN = SPELLED.replace(OPENED, "assistant: ")


@pytest.mark.parametrize("template", [BARE, NO_AGENT_LAST, ALWAYS_OPEN, None])
def test_without_any_mark_eos_is_left(template: str | None) -> None:
    turn = agent_turn(byte_level(template, eos="<|endoftext|>"))
    assert (turn.closing, turn.end_sequence) == ("", ())
    assert 0 in turn.end_ids


def test_it_is_found_anew_with_another_template() -> None:
    tokenizer = byte_level(CHATML, eos="<|endoftext|>")
    first: AgentTurn = agent_turn(tokenizer)
    assert agent_turn(tokenizer) is first
    tokenizer.chat_template = BARE
    assert agent_turn(tokenizer).closing == ""
