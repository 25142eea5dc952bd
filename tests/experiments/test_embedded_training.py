"""The script behind the embedded models, on a few steps."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ecc_fed.core.records import Session, Turn
from ecc_fed.corpus.simulator.copying import alphabet
from ecc_fed.corpus.simulator.described import DescribedSession
from ecc_fed.corpus.simulator.pack import load_pack
from ecc_fed.corpus.simulator.public import QueryContrast, assistant_dialogues, copy_tasks
from ecc_fed.end_model.text.prompting import encode_prompt, encode_reply
from experiments.embedded import encoders, language_model
from experiments.embedded.card import publish, sha256, stage_model
from experiments.embedded.measures import auc
from experiments.embedded.rewording import with_slips
from experiments.embedded.tokenizer import ASSISTANT, build_vocabulary, chat_tokenizer, encoder_tokenizer
from experiments.embedded.topics import TopicHead


def _sessions(count: int) -> list[Session]:
    return list(islice(assistant_dialogues(7), count))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    texts = [turn.text for session in _sessions(300) for turn in session.turns]
    return chat_tokenizer(build_vocabulary(texts, alphabet(load_pack("zh")), 1900), 512)


def test_every_lexicon_character_is_a_token_and_anything_else_falls_back_to_bytes(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    characters = alphabet(load_pack("zh"))
    for text in ("".join(characters), "满199.9元减20元, 龘😀\n<|user|> é"):
        ids = loaded.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert loaded.decode(ids, skip_special_tokens=True) == text
    assert set(characters) <= set(loaded.get_vocab())
    assert loaded.tokenize("1999.5元") == ["1", "9", "9", "9", ".", "5", "元"]


def test_packing_equals_the_chat_template(tokenizer: PreTrainedTokenizerFast) -> None:
    for session, ids in zip(_sessions(20), language_model.encode_dialogues(tokenizer, _sessions(20)), strict=True):
        prompt = encode_prompt(tokenizer, session.turns[:-1], 512)
        assert ids == prompt + encode_reply(tokenizer, session.turns[-1].text, 512)


def test_batches_keep_every_dialogue_whole(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = next(language_model.batches(tokenizer, copy_tasks(3), batch_tokens=2000, split_share=0.2, seed=0))
    rows = [dialogue.ids for dialogue in batch]
    assert len(rows) * max(len(row) for row in rows) <= 2000
    assert all(row[0] == tokenizer.bos_token_id and row[-1] == tokenizer.eos_token_id for row in rows)


def test_mix_follows_its_shares_and_its_seed() -> None:
    def stream(name: str) -> Iterator[DescribedSession]:
        while True:
            yield DescribedSession(name, (Turn("customer", "a"),))

    drawn = [s.session_id for s in islice(language_model.mix([stream("a"), stream("b")], [3, 1], 5), 4000)]
    again = [s.session_id for s in islice(language_model.mix([stream("a"), stream("b")], [3, 1], 5), 4000)]
    assert drawn == again
    assert drawn.count("b") / 4000 == pytest.approx(0.25, abs=0.03)


def test_a_few_steps_learn_and_repeat_exactly(tokenizer: PreTrainedTokenizerFast) -> None:
    def run() -> tuple[float, torch.Tensor]:
        model = language_model.new_model(tokenizer, seed=1)
        data = language_model.batches(tokenizer, copy_tasks(3), batch_tokens=300, split_share=0.2, seed=0)
        figures = language_model.pretrain(model, data, 4, 3e-3, torch.device("cpu"), seed=2)
        return figures["loss"], model.lm_head.weight.detach().clone()

    (first, weights), (second, same) = run(), run()
    assert first == second and torch.equal(weights, same)


def test_similarity_loss_rewards_the_right_order() -> None:
    eye = torch.eye(6)
    anchors, other = eye[:2], eye[4:]
    right = torch.cat([anchors, anchors, eye[2:4], other])
    confused = torch.cat([anchors, eye[2:4], anchors, other])
    assert encoders.similarity_loss(right, 2) < 1e-3 < encoders.similarity_loss(confused, 2)


def test_labelled_pairs_are_half_right() -> None:
    rows = [QueryContrast("q", "q2", "right", ("wrong", "false"), "asked", ("this", "that"))] * 5
    pairs = list(encoders.labelled_pairs(iter(rows), seed=0))
    assert sum(pair.right for pair in pairs) * 2 == len(pairs) == 20
    for pair in pairs:
        assert (pair.reply == "right") == pair.right == (pair.asked == pair.answered)
        assert pair.answered == {"right": "asked", "wrong": "this", "false": "that"}[pair.reply]


def test_split_tokens_keep_the_text(tokenizer: PreTrainedTokenizerFast) -> None:
    text = "您好，请问快递什么时候能到呢"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    parts = language_model.token_parts(tokenizer)
    rng = np.random.default_rng(0)
    assert language_model.split_tokens(ids, parts, 0.0, rng) == ids
    whole = language_model.split_tokens(ids, parts, 1.0, rng)
    assert [tokenizer.convert_ids_to_tokens(token) for token in whole] == list(text)
    some = language_model.split_tokens(ids, parts, 0.5, rng)
    assert tokenizer.decode(some) == text and len(ids) <= len(some) <= len(whole)


def test_topics_are_read_where_the_assistant_begins_to_speak(tokenizer: PreTrainedTokenizerFast) -> None:
    sessions = list(islice(with_slips(assistant_dialogues(1), 0.5, seed=3), 50))
    opening = tokenizer.convert_tokens_to_ids(ASSISTANT)
    for session, ids in zip(sessions, language_model.encode_dialogues(tokenizer, sessions), strict=True):
        dialogue = language_model.read_topics(tokenizer, session, ids)
        assert all(ids[at] == opening for at, _ in dialogue.topics)
        if session.form_ids:
            assert [topic for _, topic in dialogue.topics] == list(session.intents[1::2])


def test_topic_loss_is_the_cross_entropy_of_equal_shares() -> None:
    head = TopicHead(4)
    states = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    logs = head.linear(torch.nn.functional.rms_norm(states, (4,))).log_softmax(-1)
    expected = -(logs[0, 0] + 0.5 * logs[1, 0] + 0.5 * logs[1, 1]) / 2
    assert torch.allclose(head.loss(states, ["price", "price+stock"]), expected, atol=1e-6)
    assert head.loss(states[:0], []) == 0


def test_auc_by_hand() -> None:
    assert auc(np.array([0.9, 0.5], np.float32), np.array([0.5, 0.1], np.float32)) == pytest.approx(3.5 / 4)
    assert auc(np.array([1.0], np.float32), np.array([0.0], np.float32)) == 1.0


def test_a_folder_is_published_whole_with_the_hash_of_its_weights(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    encoder = encoder_tokenizer(tokenizer.backend_tokenizer, 64)
    folder = tmp_path / "relevance"
    for title in ("First", "Second"):
        model = encoders.new_relevance(encoder, 64, seed=0)
        publish(stage_model(folder, model, encoder), folder, title, {"Data": "none"})
    assert (folder / "CARD.md").read_text().startswith("# Second")
    assert sha256(folder / "model.safetensors") in (folder / "CARD.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["relevance"]
