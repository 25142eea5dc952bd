"""What a way of answering comes to: replies, likelihoods and training examples. The same for every `Answering`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecc_fed.core.protocols import Answering, EndModel
from ecc_fed.core.records import (
    AdapterState,
    Asked,
    Decoding,
    Example,
    FromCloud,
    Likelihood,
    LikelihoodRequest,
    OwnExample,
    ReplyRequest,
    TeacherReply,
    Turn,
)

Prepared = tuple[Turn, ...] | str | FromCloud


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply, and how sure the model was of it (`MeasuredReply.margin`); None where no model was asked."""

    text: str
    margin: float | None


def reply_to(
    prepared: Sequence[Prepared],
    adapter: AdapterState | None,
    decoding: Decoding,
    end_model: EndModel,
    seed: int,
    cloud: Sequence[TeacherReply | None] = (),
) -> list[Answered]:
    """The end model's replies to the prompts, in one request, and the texts that need none, in their places.

    `cloud` has its reply in every place that is `FromCloud`; one that failed leaves the customer without an answer.
    """
    prompts = tuple(each for each in prepared if isinstance(each, tuple))
    request = ReplyRequest(adapter, prompts, decoding, seed)
    drawn = iter(end_model.measured_reply([request])[0] if prompts else ())
    answered = []
    for place, each in enumerate(prepared):
        if isinstance(each, tuple):
            reply = next(drawn)
            answered.append(Answered(reply.text, reply.margin))
        elif isinstance(each, FromCloud):
            said = cloud[place]
            answered.append(Answered("" if said is None or said.text is None else said.text, None))
        else:
            answered.append(Answered(each, None))
    return answered


def likelihoods_of(
    prepared: Sequence[Prepared], replies: Sequence[str], adapter: AdapterState | None, end_model: EndModel
) -> list[Likelihood | None]:
    """Of the human replies under the end model, behind the prompts that it reads; None where it is not asked."""
    held_out = tuple(
        Example(each, reply) for each, reply in zip(prepared, replies, strict=True) if isinstance(each, tuple)
    )
    found = iter(end_model.likelihood([LikelihoodRequest(adapter, held_out)])[0] if held_out else ())
    return [next(found) if isinstance(each, tuple) else None for each in prepared]


def to_train_on(drawn: Sequence[OwnExample], known: Sequence[OwnExample], answering: Answering) -> tuple[Example, ...]:
    """The drawn examples as the model will read such queries: each behind other examples, never behind itself.

    One that the model would not be asked teaches it nothing and is left out.
    """
    unique = list(dict.fromkeys(drawn))
    prepared = answering.prepare([Asked(each.prompt, each.pair_id) for each in unique], known)
    prompts = dict(zip(unique, prepared, strict=True))
    return tuple(Example(prompt, each.reply) for each in drawn if isinstance(prompt := prompts[each], tuple))
