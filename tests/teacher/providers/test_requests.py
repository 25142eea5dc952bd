"""What the teachers send, and what they make of answers that differ from provider to provider."""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from ecc_fed.core.completion import Completion, estimate_tokens
from ecc_fed.core.errors import ConfigError
from ecc_fed.teacher.gateway.budget import Budget
from ecc_fed.teacher.providers.answers import (
    Answer,
    Usage,
    completion_of,
    failure_of,
    http_failure,
    retry_delay_seconds,
)
from ecc_fed.teacher.providers.json_post import HttpReply, JsonPoster, retry_after_seconds
from ecc_fed.teacher.providers.openai_compatible import _answer, _refused
from ecc_fed.teacher.providers.prices import Price, price_of
from ecc_fed.teacher.providers.spoken import spoken
from ecc_fed.teacher.wording import TABLE_TWO

from ..fakes import EXAMPLES, build_prompt, gateway, request
from .conftest import KEY, PRICES, gemini, openai
from .loopback import Loopback, loopback

FREE = Price()
ZH, EN = TABLE_TWO["zh"].speakers, TABLE_TWO["en"].speakers
PROMPT = build_prompt(EXAMPLES, request("在吗").turns)


def test_gemini_sends_what_is_set_and_nothing_else(server: Loopback) -> None:
    gemini(server).complete([PROMPT], 5)
    plain = server.requests[-1]
    assert plain.path.startswith("/v1beta/models/cloud-1:generateContent")
    assert plain.body["generationConfig"] == {"maxOutputTokens": 64}
    assert "safetySettings" not in plain.body
    gemini(
        server, temperature=0.5, top_p=0.9, seed=2**40 + 3, thinking_level="low", safety_threshold="BLOCK_ONLY_HIGH"
    ).complete([PROMPT], 5)
    full = server.requests[-1].body
    config = full["generationConfig"]
    assert (config["temperature"], config["topP"], config["seed"]) == (0.5, 0.9, 3)
    assert list(config["thinkingConfig"].values()) == ["LOW"]
    assert {setting["threshold"] for setting in full["safetySettings"]} == {"BLOCK_ONLY_HIGH"}
    assert len(full["safetySettings"]) == 4


def test_the_older_gemini_sdk_sends_the_same(server: Loopback) -> None:
    for sdk in ("google-genai", "google-generativeai"):
        gemini(server, sdk, temperature=0.5, top_p=0.25, safety_threshold="BLOCK_NONE").complete([PROMPT], 5)
    new, old = (sent.body for sent in server.requests)
    assert old["generationConfig"] == new["generationConfig"]
    assert old["contents"] == new["contents"]
    assert old["systemInstruction"]["parts"] == new["systemInstruction"]["parts"]
    assert len(old["safetySettings"]) == len(new["safetySettings"]) == 4


def test_two_teachers_of_the_older_sdk_keep_their_own_address(server: Loopback) -> None:
    with loopback() as other:
        first, second = gemini(server, "google-generativeai"), gemini(other, "google-generativeai")
        first.complete([PROMPT], 5)
        second.complete([PROMPT], 5)
        assert (len(server.requests), len(other.requests)) == (1, 1)


def test_openai_sends_what_is_set_and_nothing_else(server: Loopback) -> None:
    openai(server, api_key_env=None).complete([PROMPT], 5)
    plain = server.requests[-1]
    assert plain.path == "/v1/chat/completions"
    assert "authorization" not in plain.headers
    assert set(plain.body) == {"model", "messages", "max_tokens", "stream"}
    openai(
        server,
        temperature=0.0,
        top_p=0.9,
        seed=0,
        max_tokens_field="max_completion_tokens",
        extra_body={"chat_template_kwargs": {"enable_thinking": False}},
    ).complete([PROMPT], 5)
    full = server.requests[-1]
    assert full.headers["authorization"] == f"Bearer {KEY}"
    assert (full.body["temperature"], full.body["top_p"], full.body["seed"]) == (0.0, 0.9, 0)
    assert full.body["max_completion_tokens"] == 64
    assert full.body["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize("changes", [{"temperature": 0.5}, {"seed": 0}, {"max_output_tokens": 65}])
def test_what_decides_a_reply_is_in_the_cache_key(server: Loopback, changes: dict[str, Any]) -> None:
    for open_teacher in (gemini, openai):
        assert open_teacher(server).decoding != open_teacher(server, **changes).decoding


def test_redirects_are_not_followed(server: Loopback) -> None:
    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(307)
            self.send_header("Location", f"{server.url}/v1/chat/completions")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    redirecting = HTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = Thread(target=redirecting.handle_request, daemon=True)
    thread.start()
    reply = JsonPoster(f"http://127.0.0.1:{redirecting.server_port}/v1", KEY)({"model": "m"}, 5)
    thread.join()
    redirecting.server_close()
    assert reply.status == 307
    assert server.requests == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, now=10.0) == seconds


def test_retry_delay() -> None:
    assert retry_delay_seconds([{"@type": "Help"}, {"retryDelay": "1.5s"}]) == 1.5
    assert retry_delay_seconds([{"retryDelay": "soon"}, "text", {"retryDelay": 3}]) is None


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, "error"),
        (408, "timeout"),
        (429, "rate_limited"),
        (500, "unavailable"),
        (504, "timeout"),
        (529, "unavailable"),
    ],
)
def test_statuses(status: int, outcome: str) -> None:
    assert http_failure(status, "x").outcome == outcome


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TimeoutError("slow"), "timeout"),
        (ConnectionRefusedError("no"), "unavailable"),
        (ValueError("what"), "error"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "malformed"),
    ],
)
def test_exceptions(error: Exception, outcome: str) -> None:
    assert failure_of(error).outcome == outcome


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("亲，发中通哦", "亲，发中通哦"),
        ("客服：亲，发中通哦\n", "亲，发中通哦"),
        ("客服: 亲，发中通哦", "亲，发中通哦"),
        ("<think>顾客问快递\n</think>\n\n客服：发中通", "发中通"),
        ("客服电话是多少", "客服电话是多少"),
        ("好的<think>够了吗</think>，亲", "好的，亲"),
        ("先看看快递</think>发中通", "发中通"),
        ("<think>还没想完", ""),
        ("好的<think>还没想完", "好的"),
        ("发中通\n顾客：几天到\n客服：三天", "发中通"),
        ("客服：发中通\n 客服:三天到", "发中通"),
        ("顾客：几天到\n客服：三天", ""),
        ("亲\n发中通\n顾客满意就好", "亲\n发中通\n顾客满意就好"),
    ],
)
def test_the_reply_alone_is_kept(text: str, said: str) -> None:
    found, cut = spoken(text, ZH)
    assert found == said
    wanted = [name for name, sign in (("thoughts", "think>"), ("turns", "三天")) if sign in text]
    assert cut == " and ".join(wanted)


def test_english_turns_are_cut() -> None:
    assert spoken("Customer Service: By mail.\nCustomer: When?\nCustomer Service: Now.", EN) == ("By mail.", "turns")


def test_what_was_cut_is_told() -> None:
    said = completion_of(Answer("<think>a</think>好", "end", False, "m", None), FREE, ZH, 64)
    assert (said.text, said.cut) == ("好", "thoughts")
    lost = completion_of(Answer("<think>a", "end", False, "m", None), FREE, ZH, 64)
    assert (lost.outcome, lost.detail) == ("malformed", "nothing of the reply is left without thoughts")


def _chat(**changes: Any) -> HttpReply:
    choice = {"message": {"content": "好的"}, "finish_reason": "stop"} | changes.pop("choice", {})
    return HttpReply(200, {"model": "m-1", "choices": [choice]} | changes, "")


def answer(**changes: Any) -> Answer:
    found = _answer(_chat(**changes), PROMPT, FREE)
    assert isinstance(found, Answer)
    return found


def test_of_a_content_in_parts_what_is_said_is_the_text() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "想"}]}
    parts = [thought, {"type": "text", "text": "亲，"}, {"type": "text", "text": "有货"}]
    assert answer(choice={"message": {"content": parts}}).text == "亲，有货"
    assert answer(choice={"message": {"content": [thought]}}).text == ""
    assert (
        "content has a part {'type': 'image_url'}"
        in answer(choice={"message": {"content": [{"type": "image_url"}]}}).fault
    )


def test_usage_by_each_servers_names() -> None:
    deepseek = answer(usage={"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 4})
    assert deepseek.usage == Usage(9, 2, 4)
    assert answer().usage == Usage(PROMPT.tokens, estimate_tokens("好的"))
    assert answer(system_fingerprint="fp_1").model_version == "m-1 fp_1"


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": "many", "completion_tokens": 2},
        {"prompt_tokens": 9.5, "completion_tokens": 2},
        {"prompt_tokens": True, "completion_tokens": 2},
        {"prompt_tokens": -9, "completion_tokens": 2},
        {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": -4}},
    ],
)
def test_a_usage_that_cannot_be_is_not_taken_and_the_answer_stays(usage: dict[str, Any]) -> None:
    completion = completion_of(answer(usage=usage), Price(1.0, 1.0, 1.0), ZH, 64)
    assert (completion.text, completion.outcome, completion.usage_known) == ("好的", "ok", False)
    assert completion.usage_note.startswith("refused: usage stated as (")
    assert (completion.input_tokens, completion.output_tokens, completion.cost_usd) == (0, 0, None)


def test_an_answer_at_fault_and_an_error_count_as_what_they_state() -> None:
    price, usage = Price(1e6, 1e6, 1e6), {"prompt_tokens": 9, "completion_tokens": 2}
    fault = completion_of(answer(choice={"message": None}, usage=usage), price, ZH, 64)
    error = _refused(HttpReply(500, {"error": {"message": "late"}, "usage": usage}, ""), price)
    for completion, outcome in ((fault, "malformed"), (error, "unavailable")):
        assert (completion.outcome, completion.usage_known, completion.cost_usd) == (outcome, True, 11.0)
    assert completion_of(answer(choice={"message": None}), price, ZH, 64).usage_known is False
    assert _refused(HttpReply(500, {"error": {"message": "late"}}, ""), price).usage_known is None


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (_chat(choice={"finish_reason": "insufficient_system_resource"}).body, "unavailable"),
        (_chat(choice={"message": {"content": ["a"]}}).body, "malformed"),
        (_chat(choice={"message": None}).body, "malformed"),
        ([], "malformed"),
        (None, "malformed"),
        ("text", "malformed"),
    ],
)
def test_answers_of_another_shape(body: Any, outcome: str) -> None:
    found = _answer(HttpReply(200, body, ""), PROMPT, FREE)
    completion = found if isinstance(found, Completion) else completion_of(found, FREE, ZH, 64)
    assert completion.outcome == outcome


def test_a_refusal_is_blocked(server: Loopback) -> None:
    assert answer(choice={"message": {"content": None, "refusal": "no"}}).blocked


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (400, {"error": {"code": "data_inspection_failed", "message": "no"}}, "blocked"),
        (429, {"error": {"code": "insufficient_quota", "message": "pay"}}, "error"),
        (429, {"error": {"message": "slow down"}}, "rate_limited"),
        (404, {"detail": "Not Found"}, "error"),
        (502, None, "unavailable"),
        (422, {"error": "text"}, "error"),
    ],
)
def test_refusals_by_each_servers_words(status: int, body: Any, outcome: str) -> None:
    assert _refused(HttpReply(status, body, "<html>"), FREE).outcome == outcome


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"api_key_env": "UNSET_KEY"}, "environment variable UNSET_KEY is not set.*export UNSET_KEY"),
        ({"temperature": 3}, "teacher.temperature=3 is out of range"),
        ({"top_p": 0}, "teacher.top_p=0 is out of range"),
        ({"max_output_tokens": 0}, "teacher.max_output_tokens=0 is out of range"),
        ({"base_url": "ftp://x"}, "teacher.base_url='ftp://x' is no http address"),
        ({"base_url": "http://"}, "no http address"),
        ({"base_url": "http://x:port"}, "base_url cannot be read"),
        ({"model": "other"}, "no line for the model other.*cloud-1.*teacher.prices=null"),
        ({"prices": {"cloud-1": {"input": 1}}}, "give input and output"),
        ({"prices": {"cloud-1": {"input": -1, "output": 1}}}, r"teacher.prices.cloud-1.input=-1 is out of range"),
    ],
)
def test_mistakes_are_named_with_their_remedy(open_teacher: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_teacher(**changes)


def test_more_mistakes(server: Loopback) -> None:
    with pytest.raises(ConfigError, match=r"teacher.sdk=grpc is unknown: one of google-genai, google-generativeai"):
        gemini(server, "grpc")
    with pytest.raises(ConfigError, match=r"teacher.thinking_level=hard is unknown: one of null, minimal"):
        gemini(server, thinking_level="hard")
    with pytest.raises(ConfigError, match=r"neither a seed nor a thinking level.*teacher.seed=null"):
        gemini(server, "google-generativeai", seed=0)
    with pytest.raises(ConfigError, match=r"teacher.extra_body.stream"):
        openai(server, extra_body={"stream": True})


@pytest.mark.parametrize("secret", ["AIzaSecret12345", "sk-secret"])
def test_a_key_in_the_wrong_place_is_not_repeated(open_teacher: Any, secret: str) -> None:
    with pytest.raises(ConfigError, match=r"must be the name of an environment variable") as caught:
        open_teacher(api_key_env=secret)
    assert secret not in str(caught.value)
    with pytest.raises(ConfigError, match=r"must hold no user, password or query") as caught:
        open_teacher(base_url=f"http://user:{secret}@127.0.0.1/v1")
    assert secret not in str(caught.value)


def test_a_key_that_no_header_can_carry(open_teacher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_API_KEY", "two\nlines")
    with pytest.raises(ConfigError, match=r"TEST_API_KEY holds no API key") as caught:
        open_teacher()
    assert "two" not in str(caught.value)


@pytest.mark.parametrize(
    ("sdk", "module", "extra"),
    [("google-genai", "google.genai", "gemini"), ("google-generativeai", "google.generativeai", "gemini-legacy")],
)
def test_a_missing_sdk_names_the_extra(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, sdk: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf'pip install "ecc_fed\[{extra}\]"'):
        gemini(server, sdk)


def test_importing_the_teachers_imports_no_sdk() -> None:
    code = (
        "import sys, ecc_fed.teacher.providers.gemini, ecc_fed.teacher.providers.openai_compatible;"
        "sys.exit(any(name.startswith(('google.genai', 'google.generativeai', 'torch')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_prices() -> None:
    price = price_of("cloud-1", PRICES)
    assert price.cost_usd(100, 10, 40) == pytest.approx((60 * 2 + 40 * 0.5 + 10 * 10) / 1e6)
    assert price.cost_usd(10, 0, 99) == pytest.approx(10 * 0.5 / 1e6), "no more is cached than was sent"
    assert price_of("m", {"m": {"input": 2, "output": 3}}).cached_input == 2
    assert price_of("any", None).cost_usd(10**6, 10**6) == 0


def test_the_budget_holds_back_the_full_price(server: Loopback) -> None:
    cloud, _, _ = gateway(gemini(server), budget=Budget(max_cost_usd=1e-6))
    assert cloud.answer([request("在吗")])[0].outcome == "budget"
    assert server.requests == []
