"""The trial of every architecture, on four of them: served together, one after another, in part, and not at all."""

import pytest

from experiments.reliability import architectures
from experiments.reliability.architectures import MARKS, Outcome

pytestmark = pytest.mark.filterwarnings("ignore")


def test_architectures_are_served_or_say_why_not(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n", encoding="utf-8")
    found = architectures.main(["--only", "gemma3_text", "opt", "mixtral", "mamba", "fuyu", "--into", str(page)])
    assert found[:2] == [
        Outcome("gemma3_text", "shared", "replies equal"),
        Outcome("opt", "reference, batched", "replies equal"),
    ]
    assert found[2] == Outcome("mixtral", "reference, batched", "replies equal, adapters on q_proj and v_proj alone")
    assert found[3].served == "refused" and found[3].said.startswith("cannot bear a lora adapter")
    assert found[4].served == "not made"
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{MARKS[0]}\ntransformers ") and text.endswith(f"{MARKS[1]}\nafter\n")
    assert "4 architectures tried; 2 reference, batched, 1 shared, 1 refused. 1 more were not made" in text
    assert "| `opt` | reference, batched | replies equal |" in text and "old" not in text


def test_replies_and_losses_that_are_wrong_are_shouted(monkeypatch, tmp_path):
    others = lambda path, tokenizer: ["another", "", ""]  # noqa: E731
    monkeypatch.setattr(architectures, "generated", others)
    said = "replies equal its passes over whole texts; `generate` gives others than these"
    assert architectures.try_one("llama", tmp_path).said == said
    monkeypatch.setattr(architectures, "whole", others)
    assert architectures.try_one("llama", tmp_path).said == "REPLIES DIFFER"


@pytest.mark.slow
def test_those_that_people_take_reply_as_generate_does():
    """docs/models.md has all of them; the command there takes minutes."""
    names = [
        *("llama", "qwen2", "qwen3", "mistral", "phi3", "smollm3", "glm4", "gemma2"),
        *("gpt2", "gpt_neox", "bloom", "falcon", "olmo2", "starcoder2"),
    ]
    found = architectures.main(["--only", *names])
    assert {outcome.model_type for outcome in found} == set(names)
    assert not [outcome for outcome in found if not outcome.said.startswith("replies equal")]
