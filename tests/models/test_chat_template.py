"""Templates are rendered as transformers renders them, and none can hold up or fill up the process that asks."""

import threading
from typing import Any

import pytest

from ecc_fed.core.errors import ModelError
from ecc_fed.models import chat_template
from ecc_fed.models.chat_template import ChatTemplates, TemplateRefusal, fill, placeholder
from tests.end_model.tiny_models import build_tokenizer

CHATML = (
    "{%- set ns = namespace(last='') %}\n{% for m in messages %}\n  {%- set ns.last = m.role %}\n"
    "{{- '<|im_start|>' + m['role'] + '\\n' + m['content'] | trim + '<|im_end|>' + '\\n' }}\n{% endfor %}\n"
    "{% if tools %}tools{% endif %}{{ ns.last | tojson }}{{ {'b': '<é>', 'a': 1} | tojson(indent=2) }}\n"
    "{% generation %}{{ eos_token }}{% endgeneration %}\n"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
DATED = (
    "{{ date_string }}{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{{ m.content }}{% endfor %}"
)
CHAT = [{"role": "user", "content": placeholder(0)}, {"role": "assistant", "content": " b "}]


def tokenizer(template: str) -> Any:
    found = build_tokenizer()
    found.chat_template = template
    return found


@pytest.mark.parametrize("template", [CHATML, DATED, "{{ messages[0].content }}"])
def test_as_transformers_renders(template: str) -> None:
    given, variables = tokenizer(template), {"date_string": "today", "enable_thinking": False}
    expected = given.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True, **variables)
    assert ChatTemplates().render(given, CHAT, variables) == expected


HOSTILE = {
    "endless": ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "1 seconds"),
    "power": ("{{ 9 ** (9 ** 9) }}", "1 seconds"),
    "power of a variable": ("{% set x = messages | length + 7 %}{{ x ** (x ** x) }}", "1 seconds"),
    "doubling": (
        "{% set ns = namespace(x='aaaaaaaa') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "256 MiB",
    ),
    "product": ("{{ 'a' * 1000000000 }}", "256 MiB"),
    "format": ("{{ '%1000000000d' % 1 }}", "256 MiB"),
    "long": ("{{ 'a' * 2000000 }}", "longer than 1,000,000 characters"),
    "deep": ("{{ " + "(" * 9999 + "1" + ")" * 9999 + " }}", "RecursionError"),
    "out of the sandbox": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
    "refusal": ("{{ raise_exception('only Latin') }}", "only Latin"),
    "no template": ("{% for %}", "TemplateSyntaxError"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_template_has_little_time_and_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "CPU_SECONDS", 1)
    monkeypatch.setattr(chat_template, "MEMORY_BYTES", 256 << 20)
    template, message = HOSTILE[name]
    with pytest.raises(ModelError, match=f"^the model's chat template .*{message}.*give the tokenizer another"):
        ChatTemplates().render(tokenizer(template), CHAT)


def test_a_shape_is_rendered_once_with_those_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    run = chat_template._run

    def counted(template: str, chats: Any) -> Any:
        calls.append(len(chats))
        return run(template, chats)

    monkeypatch.setattr(chat_template, "_run", counted)
    templates, given = ChatTemplates(), tokenizer("{{ messages | length }}")
    longer = [[*CHAT, *CHAT], [*CHAT, CHAT[0]]]
    threads = [
        threading.Thread(target=templates.render, args=(given, CHAT), kwargs={"next_ones": lambda: longer})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [templates.render(given, chat) for chat in (CHAT, *longer)] == ["2", "4", "3"]
    assert calls == [3]
    assert templates.render(given, CHAT, {"enable_thinking": True}) == "2"  # another request
    assert calls == [3, 1]


def test_a_refusal_is_its_chats_own() -> None:
    templates, given = (
        ChatTemplates(),
        tokenizer("{% if messages[1] %}{{ raise_exception('no') }}{% endif %}"),
    )
    assert templates.render(given, CHAT[:1], next_ones=lambda: [CHAT]) == ""
    with pytest.raises(TemplateRefusal, match="no"):
        templates.render(given, CHAT)


def test_texts_are_filled_in_at_once() -> None:
    parts = fill(f"<{placeholder(0)}|{placeholder(1)}>", [placeholder(1), "b"])
    assert parts == ["<", placeholder(1), "|", "b", ">"]
