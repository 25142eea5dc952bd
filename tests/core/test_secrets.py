import pytest

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.secrets import HIDDEN, check_secrets, is_secret_name, without_secrets


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "apiKey",
        "API_KEY",
        "key",
        "my_token",
        "authToken",
        "Authorization",
        "password",
        "db.passwd",
        "client_secret",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "max_new_tokens",
        "batch_tokens",
        "tokenizer",
        "keyboard",
        "monkey",
        "author",
        "secretary",
        "passages",
    ],
)
def test_names_that_only_look_like_it(name: str) -> None:
    assert not is_secret_name(name)


SECRETS = [
    {"teacher": {"api_key": "abc"}},
    {"teacher": {"api_key": 12345}},
    {"teacher": {"extra_body": {"headers": {"Authorization": ["Bearer abc"]}}}},
    {"teacher": {"auth": {"value": "abc"}}},
    {"teacher": {"api_key_env": "sk-abcdefghijklmnop"}},
    {"teacher": {"api_key_env": "abc"}},
    {"teacher": {"api_key_env": "AKIAIOSFODNN7EXAMPLE"}},
    {"teacher": {"api_key_env": "QWERTYUIOPASDFGHJKL0123456789"}},
    {"teacher": {"other_env": "MY KEY"}},
    {"teacher": {"model": "AIzaSyabcdefghijklmnopqrstuv"}},
    {"teacher": {"base_url": "https://me:abc@host/v1"}},
    {"teacher": {"base_url": "https://abc@host/v1"}},
]


@pytest.mark.parametrize("values", SECRETS)
def test_a_secret_in_a_config_is_refused_and_not_repeated(values: dict[str, dict[str, object]]) -> None:
    with pytest.raises(ConfigError, match=rf"^teacher\.{next(iter(values['teacher']))}.*variable") as refused:
        check_secrets(values)
    for secret in ("abc", "12345", "AKIA", "QWERTY", "MY KEY", "AIza"):
        assert secret not in str(refused.value)
    assert HIDDEN in str(without_secrets(values))


def test_what_only_says_where_a_secret_stands_passes_and_is_shown() -> None:
    values = {
        "api_key_env": "GEMINI_API_KEY",
        "api_key": "${oc.env:MY_KEY}",
        "token": None,
        "password": "",
        "key": True,
        "model": "gemini-2.5-flash",
        "base_url": "https://host/v1?user=me@home",
        "max_tokens": 5,
    }
    check_secrets(values)
    assert without_secrets(values) == values
