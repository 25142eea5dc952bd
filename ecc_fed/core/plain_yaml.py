"""YAML from outside, looked at before it is loaded: references and depth can make ten lines a billion values."""

from __future__ import annotations

from typing import Any, cast

import yaml

_MAX_DEPTH = 50
# The same values by libyaml, where PyYAML was built with it: ten times as fast.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check_plain(text: str) -> None:
    """Refuses references (`*name`), which nest into exponential size, and values nested too deep.

    Raises:
        yaml.YAMLError: either, or no YAML at all.
    """
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise _refusal(event, "references are not read here")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise _refusal(event, "nested too deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refusal(event: yaml.Event, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=cast(yaml.Mark, event.start_mark))
