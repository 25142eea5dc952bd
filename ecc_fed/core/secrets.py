"""What is a secret in a config: told by a setting's name, and by what a value looks like.

A key belongs into an environment variable; a setting that ends in `_env` names the variable. One rule serves the
check before anything is written and what a report shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ecc_fed.core.errors import ConfigError

HIDDEN = "***"
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])")
_SECRET_WORDS = frozenset({
    "key", "apikey", "token", "secret", "secrets", "password", "passwords", "passwd", "passphrase", "credential",
    "credentials", "auth", "authorization", "bearer", "cookie", "cookies",
})  # fmt: skip
# Upper case only: most keys have small letters.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
# As providers begin their keys; and 20 capitals and digits in one piece, which no variable is called.
_KEY = re.compile(
    r"(?:sk-|AIza|gh[opsu]_|github_pat_|hf_|xox[abp]-|AKIA|ASIA|ya29\.|eyJ)[\w.+/=-]{12,}|(?=[A-Z]*\d)[A-Z0-9]{20,}"
)
_USER_IN_URL = re.compile(r"(?<=://)[^/?#@\s]+(?=@)")


def is_secret_name(name: str) -> bool:
    """Whether a setting of this name holds a secret: `api_key`, `authToken`, `Authorization`; not `max_tokens`."""
    return any(word.lower() in _SECRET_WORDS for word in _WORD.findall(name))


def is_variable(value: object) -> bool:
    """Whether a value can be the name of an environment variable, and does not look like a key."""
    return isinstance(value, str) and bool(_VARIABLE.fullmatch(value)) and not _KEY.fullmatch(value)


def _is_given(value: object) -> bool:
    """Whether there is a value that can be secret; an interpolation says where one comes from, not what it is."""
    if isinstance(value, str):
        return bool(value) and not (value.startswith("${") and value.endswith("}"))
    return value is not None and not isinstance(value, bool)


def without_secrets(value: Any, secret: bool = False, variable: bool = False) -> Any:
    """Plain values of a config as they may be shown, a secret as `***`.

    Args:
        value: mappings, lists and plain values.
        secret: stands below the name of a secret.
        variable: stands below a name that ends in `_env`.
    """
    if isinstance(value, Mapping):
        return {
            key: without_secrets(held, secret or is_secret_name(str(key)), str(key).endswith("_env"))
            for key, held in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(each, secret, variable) for each in value]
    if _is_given(value) and (secret or variable) and not (variable and is_variable(value)):
        return HIDDEN
    if isinstance(value, str):
        return HIDDEN if _KEY.fullmatch(value) else _USER_IN_URL.sub(HIDDEN, value)
    return value


def _leaves(value: Any, path: str, secret: bool) -> Iterator[tuple[str, bool, Any]]:
    """(path, whether a name on it is that of a secret, value)."""
    if isinstance(value, Mapping):
        for key, held in value.items():
            yield from _leaves(held, f"{path}.{key}".lstrip("."), secret or is_secret_name(str(key)))
    elif isinstance(value, list | tuple):
        for held in value:
            yield from _leaves(held, path, secret)
    else:
        yield path, secret, value


def check_secrets(values: Any) -> None:
    """Refuses a config that holds a secret. The message does not repeat it.

    Args:
        values: the config as it was written: `${oc.env:NAME}` stands in the place of what it reads.

    Raises:
        ConfigError: names the setting.
    """
    for path, secret, value in _leaves(values, "", False):
        if not _is_given(value):
            continue
        if path.endswith("_env"):
            if not is_variable(value):
                raise ConfigError(
                    f"{path} must be the name of an environment variable in capital letters, such as GEMINI_API_KEY; "
                    "the key itself belongs into that variable, never into a setting"
                )
        elif secret or (isinstance(value, str) and (_KEY.fullmatch(value) or _USER_IN_URL.search(value))):
            raise ConfigError(
                f"{path} holds a secret, and a config is written down. Put it into an environment variable: "
                f"{path}='${{oc.env:NAME}}'"
            )
