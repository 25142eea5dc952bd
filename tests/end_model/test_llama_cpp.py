"""llama.cpp itself runs a written file: the same ids of texts, the same chats, the same greedy replies.

By the package xllamacpp, which brings llama.cpp's own server: `pip install xllamacpp`.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import processors

from ecc_fed.assembly.build import EMBEDDED
from ecc_fed.core.records import Turn
from ecc_fed.end_model.text.prompting import encode_prompt
from tests.end_model.exported import TEXTS, Exported, byte_tokenizer, export, piece_tokenizer, save_base
from tests.models.chat_tokenizers import CHATML

xllamacpp = pytest.importorskip("xllamacpp", reason="llama.cpp is run by `pip install xllamacpp`")

PROMPT_TOKENS, NEW_TOKENS = 24, 12


class LlamaCpp:
    """llama.cpp's server with one file."""

    def __init__(self, file: Path) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.n_ctx = 256
        params.warmup = False
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.cpuparams.n_threads = params.n_threads_http = params.n_parallel = 1
        self._server = xllamacpp.Server(params)

    def ask(self, path: str, **said: Any) -> Any:
        """What it answers to a request."""
        address = self._server.listening_address.rpartition("/")[2]
        connection = http.client.HTTPConnection(address, timeout=60)
        try:
            connection.request("POST", path, json.dumps(said), {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def encode(self, text: str, control: bool = True) -> list[int]:
        """Ids of a text in which control tokens are such, or are words like any other."""
        ids = self.ask("/tokenize", content=text, add_special=True, parse_special=control)["tokens"]
        return [int(index) for index in ids]


@contextmanager
def served(done: Exported) -> Iterator[LlamaCpp]:
    server = LlamaCpp(done.file)
    yield server
    del server._server


@torch.inference_mode()
def greedy(model: Any, ids: list[int]) -> tuple[list[int], list[float]]:
    """The next tokens, and how likely each was, in nats."""
    found, told = list(ids), []
    for _ in range(NEW_TOKENS):
        likely = model(torch.tensor([found])).logits[0, -1].log_softmax(-1)
        found.append(int(likely.argmax()))
        told.append(float(likely.max()))
    return found[len(ids) :], told


def same_replies(server: LlamaCpp, model: Any, ids: list[int], tolerance: float) -> list[int]:
    expected, likely = greedy(model, ids)
    said = {"temperature": 0, "n_predict": NEW_TOKENS, "n_probs": 1, "ignore_eos": False, "return_tokens": True}
    answer = server.ask("/completion", prompt=ids, **said)
    found = [int(index) for index in answer["tokens"]]
    assert found == expected[: len(found)] and found
    # Of tokens that end within a character, the server tells no likelihood.
    wanted = iter(zip(expected, likely, strict=True))
    for each in answer["completion_probabilities"]:
        likelihood = next(value for index, value in wanted if index == each["id"])
        assert each["logprob"] == pytest.approx(likelihood, abs=tolerance)
    return found


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3"])
def test_greedy_replies_are_those_of_the_merged_model(family: str, tmp_path: Path) -> None:
    done = export(save_base(tmp_path / "base", family), tmp_path)
    with served(done) as server:
        ids = list(range(60, 60 + PROMPT_TOKENS))
        assert len(set(same_replies(server, done.merged.model, ids, 1e-3))) > 1


@pytest.mark.parametrize("kind", ["gpt-2", "smollm", "qwen2", "llama-bpe", "prefix", "replaced", "kept"])
def test_texts_become_the_same_ids(kind: str, tmp_path: Path) -> None:
    pieces = kind in ("prefix", "replaced", "kept")
    tokenizer = piece_tokenizer(kind) if pieces else byte_tokenizer(kind)
    done = export(save_base(tmp_path / "base", "llama", tokenizer), tmp_path)
    with served(done) as server:
        for text in TEXTS:
            assert server.encode(text) == tokenizer.encode(text), text
            said = tokenizer.encode(text, split_special_tokens=True)
            assert server.encode(text, control=False) == said, text


def test_the_embedded_model_talks_as_in_a_run(tmp_path: Path) -> None:
    done = export(EMBEDDED, tmp_path)
    tokenizer = done.merged.tokenizer
    with served(done) as server:
        for text in [*TEXTS, "亲，这款抱枕59.9元哦~ 满100减5", "<|user|>ok<|end|>"]:
            assert server.encode(text) == tokenizer.encode(text), text
        chat = [{"role": "user", "content": "请问抱枕多少钱"}]
        shown = server.ask("/apply-template", messages=chat)["prompt"]
        assert shown == tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = encode_prompt(tokenizer, [Turn("customer", chat[0]["content"])], 256)
        assert server.encode(shown) == ids
        same_replies(server, done.merged.model, ids, 1e-3)


def test_a_base_without_a_template_is_talked_to_in_the_plain_format(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer("qwen2")
    tokenizer.chat_template = None
    done = export(save_base(tmp_path / "base", "qwen2", tokenizer), tmp_path)
    roles = {"user": "customer", "assistant": "agent"}
    chat = [{"role": "user", "content": "在吗\n客服：hello"}, {"role": "assistant", "content": "在"}]
    chat.append({"role": "user", "content": "12 'le'"})
    turns = [Turn(roles[each["role"]], each["content"]) for each in chat]  # type: ignore[arg-type]
    with served(done) as server:
        for system in (None, "你是客服"):
            said = [{"role": "system", "content": system}] * (system is not None) + chat
            shown = server.ask("/apply-template", messages=said)["prompt"]
            assert server.encode(shown) == encode_prompt(tokenizer, turns, 256, system)


def test_bos_comes_once(tmp_path: Path) -> None:
    """Where the template prints it and texts begin with it too."""
    tokenizer = piece_tokenizer("replaced")
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos>:0 $A:0", special_tokens=[("<bos>", tokenizer.bos_token_id)]
    )
    tokenizer.chat_template = "{{ bos_token }}" + CHATML
    done = export(save_base(tmp_path / "base", "gemma3", tokenizer), tmp_path)
    with served(done) as server:
        assert server.encode("hello") == tokenizer.encode("hello")
        answer = server.ask("/v1/chat/completions", messages=[{"role": "user", "content": "hello"}], max_tokens=1)
        assert answer["usage"]["prompt_tokens"] == len(encode_prompt(tokenizer, [Turn("customer", "hello")], 99))
