"""What shops and server exchange: updates up, the server's state, and which tensors take part.

Tensors are chosen by patterns on their peft names (`fnmatch`), so that a method can speak of factors
without knowing the base: `LORA_A`, `LORA_B`, or `EVERYTHING`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ecc_fed.core.records import AdapterState

Patterns = tuple[str, ...]
# Names and shapes of an adapter's tensors.
Shapes = Mapping[str, tuple[int, ...]]

EVERYTHING: Patterns = ("*",)
NOTHING: Patterns = ()
LORA_A: Patterns = ("*.lora_A.*",)
LORA_B: Patterns = ("*.lora_B.*",)


def matches(name: str, patterns: Patterns) -> bool:
    """Whether a tensor's name fits any of the patterns."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def select(adapter: AdapterState, patterns: Patterns) -> AdapterState:
    """The tensors whose names fit, in the adapter's order."""
    return {name: tensor for name, tensor in adapter.items() if matches(name, patterns)}


def low_rank_pairs(adapter: AdapterState) -> list[tuple[str, str]]:
    """Names of (A, B), A (r, d_in) and B (d_out, r), of every module that has both."""
    pairs = [(name, name.replace(".lora_A.", ".lora_B.")) for name in select(adapter, LORA_A)]
    return [(a, b) for a, b in pairs if b in adapter and adapter[a].ndim == adapter[b].ndim == 2]


def ranks(adapter: AdapterState) -> dict[str, int]:
    """The rank of every low-rank factor: rows of an A, columns of a B."""
    found = {name: tensor.shape[0] for name, tensor in select(adapter, LORA_A).items() if tensor.ndim == 2}
    return found | {name: tensor.shape[1] for name, tensor in select(adapter, LORA_B).items() if tensor.ndim == 2}


def adapter_rank(adapter: AdapterState) -> int | None:
    """The rank of the first low-rank factor; None where there is none, as in a prefix."""
    return next(iter(ranks(adapter).values()), None)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What an aggregator needs of the shops in one server round.

    Attributes:
        train: the tensors that fine-tuning moves; the others stay as they are.
        up: the tensors that a shop sends after the round; the others never leave it.
        turns: the factors that the server sends are no means of those that came: another A and B of a like product.
            A number of a factor is then another number than before, and what a shop's optimizer remembers of it
            starts anew wherever tensors are received.
        control: shops keep control variates (SCAFFOLD): of what trains and goes up, each tells how its own has changed,
            and is told the server's.
    """

    train: Patterns = EVERYTHING
    up: Patterns = EVERYTHING
    turns: bool = False
    control: bool = False


WHOLE = Exchange()
TURNED = Exchange(turns=True)


@dataclass(frozen=True, slots=True)
class AdapterUpdate:
    """What one shop sends after a server round.

    Attributes:
        shop_id: whose.
        server_round: after which round.
        adapter: the tensors that go up, after the round (no difference); empty where nothing goes up.
        num_examples: examples that the shop learned from in this round.
        scale: s in W + s B A of this shop's adapter (lora_alpha / rank in LoRA); 1 without low-rank pairs.
        metrics: coarse numbers that the shop tells.
        control: by how much the shop's control variate has changed, by tensor; empty where it keeps none.
        replies: to the public queries, in their order; empty where nothing was asked.
    """

    shop_id: str
    server_round: int
    adapter: AdapterState
    num_examples: int
    scale: float = 1.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    control: AdapterState = field(default_factory=dict)
    replies: tuple[str, ...] = ()

    @property
    def rank(self) -> int | None:
        """The adapter's rank; None without low-rank factors."""
        return adapter_rank(self.adapter)


@dataclass(frozen=True, slots=True)
class AggregatorState:
    """All that an aggregator remembers between rounds: with it, and nothing else, a run goes on.

    Attributes:
        adapter: the server's adapter, or the part of it that travels; None before the first aggregate.
        tensors: whatever else a method keeps, by name: moments, the adapters of clusters, a residual.
        shops: what a method keeps of each shop, tensors by shop and name.
        scalars: numbers by name.
        control: the server's control variate, which goes down beside the tensors; empty without.
        num_shops: of the whole run, those that take no part in a round included; whoever calls `aggregate` tells.
    """

    adapter: AdapterState | None = None
    tensors: AdapterState = field(default_factory=dict)
    shops: Mapping[str, AdapterState] = field(default_factory=dict)
    scalars: Mapping[str, float] = field(default_factory=dict)
    control: AdapterState = field(default_factory=dict)
    num_shops: int = 0


@dataclass(frozen=True, slots=True)
class AggregateReport:
    """What became of a round's updates.

    Attributes:
        relative_error: ||s B A - W*|| / ||W*|| in Frobenius norm over all modules, W* = sum_i p_i s_i B_i A_i;
            None where a factor stayed at home, an adapter has no factors, or W* is zero and s B A is not.
        module_errors: the same by module.
        ranks: of every shop's update that has one.
        aggregate_rank: of the server's adapter.
        update_bytes: of every shop's tensors.
        update_norm: L2 norm of the server's adapter minus the one before; None for the first and for one with other
            tensors.
        flags: of shops whose update did not count as it came, by what became of it: not_selected, shortened.
        server_seconds: that the aggregator took, its report included; None where nobody looked at a clock.
    """

    relative_error: float | None = None
    module_errors: Mapping[str, float | None] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)
    aggregate_rank: int | None = None
    update_bytes: Mapping[str, int] = field(default_factory=dict)
    update_norm: float | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    server_seconds: float | None = None


def tensor_bytes(adapter: AdapterState) -> int:
    """Bytes of the numbers alone."""
    return sum(tensor.nbytes for tensor in adapter.values())


def without_examples(updates: Sequence[AdapterUpdate]) -> bool:
    """Whether no shop had anything to learn from."""
    return not any(update.num_examples for update in updates)
