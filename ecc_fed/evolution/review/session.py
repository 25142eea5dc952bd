"""Manual review, the paper's second track: a human asks one shop's end model, and a bad mark teaches it at once.

    shops/<shop_id>/chat/marks.jsonl     every mark, append-only
    shops/<shop_id>/chat/egress.jsonl    what left the shop on the way to the cloud (its words in teacher_texts.jsonl,
                                         with `privacy.keep_text`)
    shops/<shop_id>/chat/round_0003/     the shop after the third lesson, in the form of a server round

The run's own states are read and never written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ecc_fed.core.errors import UserError
from ecc_fed.core.folder_lock import sole_writer
from ecc_fed.core.records import (
    AdapterState,
    Asked,
    FineTuneJob,
    FromCloud,
    Judgement,
    Pair,
    PseudoLabel,
    ReplyRequest,
    Shop,
    TeacherReply,
    Turn,
)
from ecc_fed.core.rows import LessonRow, append_rows
from ecc_fed.core.run_directory import cut_torn_tail
from ecc_fed.core.seeding import derive_rng, derive_seed
from ecc_fed.evolution.answering.replies import Prepared, to_train_on
from ecc_fed.evolution.few_shots import few_shots
from ecc_fed.evolution.loop import ask_cloud, judge_replies, wants_reference
from ecc_fed.evolution.owner import Owner
from ecc_fed.evolution.review.lesson import Lesson
from ecc_fed.evolution.review.marks import Mark, Verdict, append_mark, read_marks
from ecc_fed.evolution.review.memory import CHAT, Memory
from ecc_fed.evolution.settings import LoopSettings, Services
from ecc_fed.evolution.shop_state import (
    ShopState,
    WriteAdapter,
    adapter_digest,
    newest_state,
    save_state,
)

_HUMAN = "human"

Say = Callable[[str], None]
# Answers the request's only prompt, saying each piece as it comes.
Stream = Callable[[ReplyRequest, Say], str]


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply with all that is known of it. `pair.reply` is empty: nobody has answered for the shop."""

    pair: Pair
    reply: str
    relevance: float
    judgement: Judgement | None
    cloud: TeacherReply | None
    reply_seed: int
    adapter_sha256: str | None


@dataclass(frozen=True, slots=True)
class Learned:
    """What a bad mark led to; `label` is None where neither human nor cloud gave one, and nothing was learned."""

    label: PseudoLabel | None
    losses: tuple[float, ...] = ()


def sole_chat(folder: Path) -> AbstractContextManager[None]:
    """Keeps a second chat with the same shop out; raises as `sole_writer`."""
    busy = f"another chat with this shop is under way in {folder}; end it first"
    return sole_writer(folder, busy, "make the folder writable")


def _digest(adapter: AdapterState | None) -> str | None:
    return None if adapter is None else adapter_digest(adapter)


def _learned_from(shop: Shop, end: ShopState) -> tuple[Pair, ...]:
    """The shop's own dialogues that its state names."""
    by_id = {pair.pair_id: pair for pair in (*shop.history, *shop.stream)}
    missing = [pair_id for pair_id in end.natural_ids if pair_id not in by_id]
    if missing:
        raise UserError(
            f"The corpus is not the one of the run any more: dialogue {missing[0]} of {shop.shop_id} is gone. Bring "
            "back its file and settings."
        )
    return tuple(by_id[pair_id] for pair_id in end.natural_ids)


class Review:
    """One shop under review.

    Args:
        shop: its dialogues, for the cloud's few-shot examples and for rehearsal.
        end: the shop's state at the end of its run.
        answering: the adapter that answered at the end of the run; None is the bare base. Lessons
            start from it, or from `end.adapter` where it is None.
        folder: the chat's own, under the shop's.
        services: the models, and the gateway to the cloud.
        settings: the run's loop: decoding, N, and which replies the cloud is asked about.
        lesson: how a label is learned.
        stream: answers, saying each piece as it comes.
        write_adapter: writes an adapter folder in peft's format.
        seed: the run's seed.
        model: path and fingerprint of the base.

    Raises:
        UserError: the chat in `folder` began from another state of the shop, or the corpus has changed.
        RunDirectoryError: files there are damaged.
    """

    def __init__(
        self,
        shop: Shop,
        end: ShopState,
        answering: AdapterState | None,
        folder: Path,
        services: Services,
        settings: LoopSettings,
        lesson: Lesson,
        stream: Stream,
        write_adapter: WriteAdapter,
        seed: int,
        model: tuple[str, str],
    ) -> None:
        self.shop, self.folder, self.settings, self.seed = shop, folder, settings, seed
        self.accept_score = services.judge.accept_score
        self.services = services
        self._label_share = lesson.label_share
        self._fine_tune = lesson.fine_tune(settings.fine_tune)
        self._stream, self._write_adapter, self._model = stream, write_adapter, model
        self._server_round = end.server_round
        self._natural = _learned_from(shop, end)
        self._origin = _digest(answering)
        self._state = replace(end, server_round=0, metrics=(), egress=())
        if answering is not None:
            self._state = replace(self._state, adapter=answering)
        self.answering = answering
        self.marks_path = folder / "marks.jsonl"
        self.marks = read_marks(self.marks_path)
        learned = newest_state(folder, owner=Owner(end.run_id, shop.shop_id, end.dialogues_sha256))
        if learned is not None:
            self._state = learned
            if not learned.lessons or learned.lessons[0].from_sha256 != self._origin:
                raise UserError(
                    f"{folder} holds a chat that began from another adapter of this shop, before the run was done "
                    "again. Move the folder away to start anew"
                )
            self.answering = self._state.adapter
        self._cloud: dict[str, TeacherReply] = {}

    @property
    def withheld(self) -> str | None:
        """Why this chat scores nothing; None where it does."""
        return self.services.scoring.withheld

    @property
    def lessons(self) -> int:
        """How many labels were learned so far."""
        return self._state.server_round

    @property
    def state_folder(self) -> Path:
        """Where the shop's newest state lies, once there was a lesson."""
        return self.folder / f"round_{self.lessons:04d}"

    def ask(self, context: Sequence[Turn], query: str, say: Say) -> Answer:
        """The shop's answer, scored as in the run.

        The draws depend on the run's seed and the prompt alone: asked again, a shop says another
        thing only if it has learned.

        Raises:
            EccError: the models or the teacher's cache cannot be used.
        """
        pair = self.pair_of(context, query)
        reply_seed = derive_seed(self.seed, "chat", pair.pair_id)
        adapter = self.answering
        prepared = self.prepared([pair])[0]
        if isinstance(prepared, FromCloud):
            said = self._ask_cloud(pair, "serve")
            say(reply := said.text or "")
            relevance = float(self.services.judge.relevance([query], [reply])[0])
            return Answer(pair, reply, relevance, None, said, reply_seed, None)
        if isinstance(prepared, str):
            reply = prepared
            say(reply)
        else:
            reply = self._stream(ReplyRequest(adapter, (prepared,), self.settings.decoding, reply_seed), say)
        rng = derive_rng(self.seed, "chat_reference", pair.pair_id)
        # A cloud answer that was paid for in this chat is used again. A router knows nothing of a reply that is said
        # piece by piece, and asks.
        known = pair.pair_id in self._cloud
        asked = known or wants_reference([pair], [reply], [None], self.settings.evolution, self.services, rng)[0]
        cloud = self._ask_cloud(pair, "judge") if asked else None
        return self._scored(pair, reply, cloud, reply_seed, adapter)

    def pair_of(self, context: Sequence[Turn], query: str) -> Pair:
        """The question as a pair; its id stands for shop, context and query."""
        prompt = [part for turn in (*context, Turn("customer", query)) for part in (turn.role, turn.text)]
        digest = hashlib.sha256("\x1f".join([self.shop.shop_id, *prompt]).encode("utf-8", "replace")).hexdigest()
        return Pair(f"{CHAT}{digest[:16]}", "chat", self.shop.shop_id, tuple(context), query, "")

    def prepared(self, pairs: Sequence[Pair]) -> Sequence[Prepared]:
        """What the shop makes of queries before its model is asked, as at the end of its run and with what it learned.

        What a human or the cloud taught it in the chat comes last: it wins over what it knew before.
        """
        return self.services.answering.prepare([Asked(pair.prompt) for pair in pairs], self._memory.known())

    @property
    def _memory(self) -> Memory:
        return Memory(self._natural, self._state.pseudo_labels)

    def mark(self, answer: Answer, verdict: Verdict, better: str | None = None) -> Learned:
        """Keeps the verdict; after a bad one, learns the human's better answer or else the cloud's, at once.

        Raises:
            EccError: as `ask`, or the files cannot be written; what was learned before stays.
        """
        label: PseudoLabel | None = None
        if verdict == "better":
            label = self._label(answer.pair, str(better), _HUMAN)
        elif verdict == "bad":
            try:
                answer = self._with_cloud(answer)
            except BaseException:  # the mark is kept even if whoever waits for the cloud gives up
                self._keep(answer, verdict, None, None)
                raise
            # Where the cloud itself has said it, there is nothing better to learn.
            if answer.cloud is not None and answer.cloud.text is not None and answer.cloud.text != answer.reply:
                label = self._label(answer.pair, answer.cloud.text, answer.cloud.model_version)
        self._keep(answer, verdict, better, label)
        if label is not None and self.settings.private is not None:
            self.settings.private.refuse_lesson(self.shop.shop_id)
        return Learned(None) if label is None else self._learn(label)

    def _with_cloud(self, answer: Answer) -> Answer:
        if answer.cloud is not None and answer.cloud.text is not None:
            return answer
        cloud = self._ask_cloud(answer.pair, "pseudo_label")
        judgement = judge_replies([answer.pair], [answer.reply], [cloud], self.services)[0]
        return replace(answer, cloud=cloud, judgement=judgement)

    def _ask_cloud(self, pair: Pair, purpose: str) -> TeacherReply:
        if pair.pair_id in self._cloud:
            return self._cloud[pair.pair_id]
        examples = few_shots([pair], self._natural, self.settings.evolution)
        self.services.ledger.drain(self.shop.shop_id)
        try:
            cloud = ask_cloud([pair], examples, purpose, self._server_round, self.services)[0]
        finally:
            entries = self.services.ledger.drain(self.shop.shop_id)
            append_rows(self.folder / "egress.jsonl", entries)
        if cloud.text is not None:
            self._cloud[pair.pair_id] = cloud
        return cloud

    def _scored(
        self, pair: Pair, reply: str, cloud: TeacherReply | None, reply_seed: int, adapter: AdapterState | None
    ) -> Answer:
        judgement = judge_replies([pair], [reply], [cloud], self.services)[0]
        if judgement is None:
            relevance = float(self.services.judge.relevance([pair.query], [reply])[0])
        else:
            relevance = judgement.relevance
        return Answer(pair, reply, relevance, judgement, cloud, reply_seed, _digest(adapter))

    def _label(self, pair: Pair, reply: str, model_version: str) -> PseudoLabel:
        return PseudoLabel(pair.pair_id, pair.prompt, reply, model_version, "unhappy_customer", self._server_round)

    def _keep(self, answer: Answer, verdict: Verdict, better: str | None, label: PseudoLabel | None) -> None:
        pair, cloud = answer.pair, answer.cloud
        scores: dict[str, Any] = dict.fromkeys(
            ("similarity", "cloud_relevance", "final_score", "relevance_trusted", "accepted")
        )
        if answer.judgement is not None:
            scores = asdict(answer.judgement)
        mark = Mark(
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            shop_id=pair.shop_id,
            pair_id=pair.pair_id,
            context=pair.context,
            query=pair.query,
            reply=answer.reply,
            mark=verdict,
            better=better,
            label=None if label is None else label.reply,
            cloud_reply=None if cloud is None else cloud.text,
            cloud_model=None if cloud is None or cloud.text is None else cloud.model_version,
            **{**scores, "relevance": answer.relevance},
            reply_seed=answer.reply_seed,
            adapter_sha256=answer.adapter_sha256,
            model=self._model[0],
            model_sha256=self._model[1],
        )
        cut_torn_tail(self.marks_path)
        append_mark(self.marks_path, mark)
        self.marks.append(mark)

    def _learn(self, label: PseudoLabel) -> Learned:
        state, number = self._state, self.lessons + 1
        seed = derive_seed(self.seed, "chat_lesson", self.shop.shop_id, number, label.pair_id)
        memory, tuning = self._memory.with_label(label), self._fine_tune
        count, share = tuning.steps * tuning.batch_size, self.settings.evolution.pseudo_share
        lived = memory.masked(self.services.training_redactor, self.shop)  # its newest label is the one just taken in
        drawn = lived.lesson(lived.labels[-1], count, self._label_share, share, derive_rng(seed, "examples"))
        adapter, losses = state.adapter, tuple[float, ...]()
        # None where the shop's model is never asked: it has learned the label once it knows it.
        if examples := to_train_on(drawn, lived.known(), self.services.answering):
            job = FineTuneJob(state.adapter, None, examples, tuning, seed)
            result = self.services.end_model.fine_tune([job])[0]
            adapter, losses = result.adapter, result.losses
        row = LessonRow(
            lesson=number,
            pair_id=label.pair_id,
            label_source=label.model_version,
            steps=len(losses),
            first_loss=losses[0] if losses else None,
            last_loss=losses[-1] if losses else None,
            from_sha256=_digest(self.answering),
            to_sha256=adapter_digest(adapter),
        )
        self._state = replace(
            state,
            server_round=number,
            adapter=adapter,
            optimizer=None,
            pseudo_labels=memory.labels,
            lessons=(*state.lessons, row),
            together=(),
        )
        save_state(self.folder, self._state, self._write_adapter)
        self.answering = adapter
        return Learned(label, losses)
