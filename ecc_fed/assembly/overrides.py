r"""Overrides as people type them, in the words of Hydra's grammar.

Hydra's grammar knows ASCII letters and some signs. A Chinese word, a blank before a bracket or an apostrophe is a
syntax error to it unless the value is quoted, and quoted again for the shell. The rule here, in this order:

1. What Hydra can read means what Hydra says: lists, dicts, sweeps `a,b`, `choice(…)`, interpolations, quoted strings,
   `null`. It is handed on as it is. Only a number is none where a place is named: `hydra.run.dir=2026_01`.
2. A word with a sign that Hydra's grammar has nowhere (`能`, `#`, `!`, an apostrophe inside) is a string, as if it were
   quoted. A word is what stands between the commas and brackets of a value, and behind the colon of a dict:
   `evolution.extra_queries=[能便宜点吗？,what's new?]`, `-m teacher.model=甲,乙`, `+a={b: 能}`.
3. Where that is not enough and the setting names a place, a file, a folder or an address (the last word of its name
   is path, dir, subdir, folder, file or url), the value is taken as it was typed, brackets and equals signs included:
   `corpus.path=[v2]/own (1).jsonl`, `teacher.base_url=http://host/v1?key=a`. A comma outside brackets goes on to
   separate the values of a sweep.
4. Anything else is handed on as it is, and Hydra's error says where it cannot be read.

An interpolation such as `${now:%Y}` is one in all of them, and `\${` is a plain `${`; a backslash before another sign
of the grammar makes it plain in a word, as it does for Hydra. Blanks around a value, or around one in a list, are none
of it. What needs quotes for Hydra's sake, as rule 1 comes first: a comma in a path, a path that is wholly in brackets
(`[v2]`), or blanks at its ends; for the shell then quoted once more: "corpus.path='a,b.jsonl'".
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override
from hydra.errors import HydraException

from ecc_fed.core.errors import ConfigError

_NAMES_A_PLACE = re.compile(r"(?:^|[._/])(?:path|dir|subdir|folder|file|url)$")
# What a value consists of. A quote begins a quoted string only where a word would begin.
_PART = re.compile(
    r"""(?P<blank>\s+)
      | (?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')(?=\s*(?:[\[\](){},]|$))
      | (?P<sign>[\[\](){},])
      | (?P<word>(?:\\.|\$\{[^}]*\}|[^\[\](){},])+)""",
    re.VERBOSE | re.DOTALL,
)
_DICT_KEY = re.compile(r"[\w$./-]+\s*:(?!//)\s*", re.ASCII)  # of an address there is none
# A sign that no token of Hydra's grammar has; a quote inside a word.
_FOREIGN = re.compile(r"""[^A-Za-z0-9_ \t/\\+.$%*@?|:=(){}\[\],'"-]|(?<=.)['"]""")
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")


@functools.lru_cache(maxsize=10_000)
def readable(override: str) -> str:
    """An override as Hydra reads it; the rule is the module's."""
    key, equals, value = override.partition("=")
    if not equals:
        return override
    names_a_place = _NAMES_A_PLACE.search(key.partition("@")[0]) is not None
    as_typed = ",".join(quoted(part) if _is_no_text(f"{key}={part}") else part for part in _values(value))
    if _reads(override):
        return f"{key}={as_typed}" if names_a_place and as_typed != value and _reads(f"{key}={as_typed}") else override
    tries = [_with_words_quoted(value, in_dict) for in_dict in (False, True)]
    found = (f"{key}={tried}" for tried in [*tries, *([as_typed] if names_a_place else [])])
    return next((one for one in found if _reads(one)), override)


def quoted(text: str) -> str:
    """A value that Hydra takes as `text`, whatever signs it has; interpolations stay interpolations."""
    # Backslashes count in front of quotes alone, the closing one too.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"


def literal(text: str) -> str:
    """`quoted`, and what looks like an interpolation is none."""
    return quoted(text.replace("${", "\\${"))


def config_dirs_override(folders: Sequence[str]) -> str:
    """The override that adds folders of YAML to Hydra's search path, whatever their names."""
    # Hydra takes this setting as it is given: what looks like an interpolation is none.
    return f"hydra.searchpath=[{','.join(quoted(f'file://{folder}') for folder in folders)}]"


def unreadable(override: str) -> ConfigError:
    """Why Hydra's grammar has no place for an override, and what would have one."""
    key, equals, value = override.partition("=")
    if not equals:
        return ConfigError(f"{override} is no setting: give KEY=VALUE, such as seed=1.")
    if not _reads(f"{key}=1"):
        return ConfigError(f"{override}: {key or 'nothing'} is no name of a setting. Give KEY=VALUE, such as seed=1.")
    return ConfigError(
        f"{override} cannot be read: brackets, braces, commas, equals signs and quotes are a list, a dict, a sweep, an "
        f"argument or a text. As a text: {_for_shell(f'{key}={quoted(value)}')}."
    )


def no_text(override: str) -> ConfigError:
    """That a list or a dict was given where a text is wanted."""
    key, _, value = override.partition("=")
    return ConfigError(f"{override} is no text. As one: {_for_shell(f'{key}={quoted(value)}')}.")


def ambiguous(override: str) -> ConfigError:
    """That a sweep was given where one run is to be made."""
    key, _, value = override.partition("=")
    text = f" For one value with commas in it: {_for_shell(f'{key}={quoted(value)}')}." if "," in value else ""
    return ConfigError(f"{override} stands for several values: -m makes a run of each.{text}")


def _for_shell(override: str) -> str:
    """The override as one would type it."""
    return shlex.quote(override) if re.search(r'["$`\\!]', override) else f'"{override}"'


def plain_sweep(override: str, folders: Sequence[str]) -> str:
    """`choice(…)`, `sort(…)` and `glob(…)` as the values that they stand for, `a,b`; any other override as it is.

    Hydra itself forgets the quotes of what stands in functions, and looks for a glob's choices in its first folder.

    Args:
        override: in Hydra's grammar.
        folders: where groups lie.

    Raises:
        ConfigError: a glob matches no choice of its group.
    """
    if "(" not in override or not _reads(override):
        return override
    parsed = OverridesParser.create().parse_override(override)
    sweep, group = parsed.value(), parsed.key_or_group
    if isinstance(sweep, Glob):
        choices = sorted({path.stem for folder in folders for path in Path(folder, group).glob("*.yaml")})
        texts = sweep.filter(choices)
        if not texts:
            raise ConfigError(f"{override} matches none of the choices: {', '.join(choices) or f'no {group}'}.")
    elif isinstance(sweep, ChoiceSweep) and not sweep.shuffle:
        texts = choice_texts(parsed)
    else:
        return override
    return f"{override.partition('=')[0]}={','.join(texts)}"


def choice_texts(override: Override) -> list[str]:
    """The values of a sweep over choices, as an override for each has them."""
    sweep = cast(ChoiceSweep, override.value())
    texts = override.sweep_string_iterator()
    return [text if _reads(f"x={text}") else quoted(str(each)) for each, text in zip(sweep.list, texts, strict=True)]


def _reads(override: str) -> bool:
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return True


def _is_no_text(override: str) -> bool:
    """Hydra cannot read the value, or reads a number or a truth value."""
    return not _reads(override) or isinstance(OverridesParser.create().parse_override(override).value(), int | float)


def _with_words_quoted(value: str, in_dict: bool) -> str:
    def part(found: re.Match[str]) -> str:
        text = found[0]
        if found.lastgroup != "word":
            return text
        key = _DICT_KEY.match(text) if in_dict else None
        before, word = (key[0], text[key.end() :]) if key else ("", text)
        if not _FOREIGN.search(word.strip()):
            return text
        return before + quoted(_ESCAPED.sub(r"\1", word.strip()))

    return _PART.sub(part, value)


def _values(value: str) -> Iterator[str]:
    """The values that commas outside brackets and quotes separate."""
    depth, one = 0, ""
    for found in _PART.finditer(value):
        if found[0] == "," and depth == 0:
            yield one.strip()
            one = ""
            continue
        if found.lastgroup == "sign":
            depth = max(0, depth + (found[0] in "([{") - (found[0] in ")]}"))
        one += found[0]
    yield one.strip()
