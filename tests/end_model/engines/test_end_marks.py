"""A reply ends where the chat template's turn ends, in training, serving and likelihood alike."""

import pytest
import torch

from ecc_fed.core.records import (
    Decoding,
    Example,
    FineTuneJob,
    FineTuneSettings,
    LikelihoodRequest,
    ReplyRequest,
    Turn,
)
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.replies import EndMarks, draw_replies, hearing_tokens
from ecc_fed.end_model.engines.sampling import make_rows

from ..opening import peft_engine, shared_engine
from ..tiny_models import build_model, build_tokenizer

# Its eos_token is <|pad|>, and nothing prints it.
MARKED = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<|user|>{{ m['content'] }}"
    "{% else %}<|agent|>{{ m['content'] }}MARK\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|agent|>{% endif %}"
)
CPU = torch.device("cpu")


class Scripted:
    """Draws the given token ids, a list for each row."""

    def __init__(self, rows: list[list[int]]) -> None:
        self.rows, self.step = rows, 0

    def first(self) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor([row[self.step] for row in self.rows]), 9).float()

    def next(self, tokens: torch.Tensor) -> torch.Tensor:
        self.step += 1
        return self.first()

    def keep(self, index: torch.Tensor) -> None:
        self.rows = [self.rows[place] for place in index.tolist()]


def drawn(rows: list[list[int]], marks: EndMarks) -> list[list[int]]:
    decoding = Decoding(len(rows[0]), sample=False)
    return [each.ids for each in draw_replies(Scripted(rows), make_rows([[0]] * len(rows), decoding, 0), marks, CPU)]


def test_a_sequence_ends_a_reply_and_is_none_of_it() -> None:
    marks = EndMarks(frozenset({8}), (5, 6))
    assert drawn([[1, 5, 6, 2], [5, 5, 6, 1], [1, 5, 8, 6], [6, 5, 1, 5]], marks) == [[1], [5], [1, 5], [6, 5, 1, 5]]
    assert drawn([[5, 6, 1, 1]], EndMarks(frozenset())) == [[5, 6, 1, 1]]


@pytest.mark.parametrize(
    ("row", "said"), [([1, 5, 6, 2], [1]), ([1, 5, 2, 5], [1, 5, 2, 5]), ([1, 2, 5, 8], [1, 2, 5]), ([5, 5, 6, 1], [5])]
)
def test_who_listens_never_hears_of_a_mark(row: list[int], said: list[int]) -> None:
    heard: list[int] = []
    with hearing_tokens(heard.append):
        assert drawn([row], EndMarks(frozenset({8}), (5, 6))) == [said]
    assert heard == said


@pytest.mark.parametrize("mark", ["<|end|>", "[E]"])
@pytest.mark.parametrize("open_engine", [shared_engine, peft_engine])
def test_a_taught_reply_ends_at_the_templates_mark(tmp_path, open_engine, mark) -> None:
    build_model("llama").save_pretrained(tmp_path)
    tokenizer = build_tokenizer(MARKED.replace("MARK", mark))
    tokenizer.eos_token = "<|pad|>"
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 0}')
    engine = open_engine(str(tmp_path), Lora(8, lora_dropout=0.0))
    example = Example((Turn("customer", "问"),), "好")
    ids = tokenizer.encode(f"好{mark}", add_special_tokens=False)
    likelihood = engine.likelihood([LikelihoodRequest(None, (example,))])[0][0]
    assert likelihood.label_tokens == len(ids)
    job = FineTuneJob(engine.new_adapter(0), None, (example,), FineTuneSettings(steps=60, learning_rate=2e-2), 0)
    taught = engine.fine_tune([job])[0]
    assert taught.label_tokens == 60 * len(ids)
    request = ReplyRequest(taught.adapter, (example.prompt,), Decoding(24, sample=False), 0)
    assert engine.reply([request]) == [["好"]]
