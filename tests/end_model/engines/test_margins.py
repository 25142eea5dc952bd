"""How sure the model was of a reply is read off the very logits that its tokens are drawn from."""

import pytest
import torch

from ecc_fed.core.records import Decoding, ReplyRequest, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.replies import EndMarks, draw_replies, margins
from ecc_fed.end_model.engines.sampling import make_rows

from ..drawing import lively
from ..opening import peft_engine, shared_engine

END = 3
PROMPTS = tuple((Turn("customer", text),) for text in ("发什么快递", "多少钱", "在吗 想问一下尺码"))


class Steps:
    """Two rows whose likeliest token, and how far it leads, are written down; row 1 ends after one token."""

    def __init__(self) -> None:
        self.probabilities = [
            torch.tensor([[0.6, 0.3, 0.05, 0.05], [0.1, 0.7, 0.1, 0.1]]),
            torch.tensor([[0.2, 0.5, 0.2, 0.1], [0.05, 0.05, 0.1, 0.8]]),
            torch.tensor([[0.05, 0.05, 0.0, 0.9], [1.0, 0.0, 0.0, 0.0]]),
        ]
        self.place, self.rows = 0, torch.tensor([0, 1])

    def first(self) -> torch.Tensor:
        return self.next(self.rows)

    def next(self, tokens: torch.Tensor) -> torch.Tensor:
        self.place += 1
        return self.probabilities[self.place - 1][self.rows].log()

    def keep(self, index: torch.Tensor) -> None:
        self.rows = self.rows[index]


def test_the_mean_takes_every_draw_of_the_row_and_the_end_marks_and_none_of_a_row_that_is_done() -> None:
    # Temperature and nucleus change what is drawn, not how sure the model is.
    rows = make_rows([[0], [0]], Decoding(8, top_p=0.01, temperature=5.0), 0)
    first, second = draw_replies(Steps(), rows, EndMarks(frozenset({END})), torch.device("cpu"))
    assert (first.ids, second.ids) == ([0, 1], [1])
    assert first.margin == pytest.approx((0.3 + 0.3 + 0.85) / 3, abs=1e-6)
    assert second.margin == pytest.approx((0.6 + 0.7) / 2, abs=1e-6)


def test_a_reply_that_is_cut_has_no_end_mark_to_count() -> None:
    rows = make_rows([[0], [0]], Decoding(1, sample=False), 0)
    (drawn, _) = draw_replies(Steps(), rows, EndMarks(frozenset({END})), _CPU)
    assert drawn.margin == pytest.approx(0.3, abs=1e-6)


def test_margins_lie_between_a_tie_and_certainty() -> None:
    logits = torch.tensor([[2.0, 2.0, -9.0], [90.0, 0.0, 0.0]])
    assert margins(logits).tolist() == pytest.approx([0.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("open_engine", [peft_engine, shared_engine])
@pytest.mark.parametrize("decoding", [Decoding(10, sample=False), Decoding(10, top_p=0.9, temperature=1.2)])
def test_measured_texts_are_the_replies_and_company_changes_no_margin(llama, open_engine, decoding) -> None:
    engine = open_engine(llama, Lora(4, lora_dropout=0.0))
    request = ReplyRequest(lively(engine.shapes), PROMPTS, decoding, 5)
    measured = engine.measured_reply([request, ReplyRequest(None, PROMPTS[:1], decoding, 5)])
    assert [[reply.text for reply in replies] for replies in measured] == engine.reply(
        [request, ReplyRequest(None, PROMPTS[:1], decoding, 5)]
    )
    found = [reply.margin for reply in measured[0]]
    alone = [engine.measured_reply([ReplyRequest(request.adapter, PROMPTS[:1], decoding, 5)])[0][0].margin]
    assert alone == pytest.approx(found[:1], abs=1e-5)
    assert len(set(found)) == len(found)
    assert all(0 < margin < 1 for margin in found)


_CPU = torch.device("cpu")
