"""Which native tensor comes from which rows of which original tensor.

| original | native |
|---|---|
| `transformer.embedding.word_embeddings.weight` | `model.embed_tokens.weight` |
| `…layers.i.{input,post_attention}_layernorm.weight` | `model.layers.i.` + the same leaf |
| `…self_attention.query_key_value.{weight,bias}` | rows [query, key, value] -> `self_attn.{q,k,v}_proj.*` |
| `…self_attention.dense.weight` | `self_attn.o_proj.weight` |
| `…mlp.dense_h_to_4h.weight` | `mlp.gate_up_proj.weight` (gate first on both sides) |
| `…mlp.dense_4h_to_h.weight` | `mlp.down_proj.weight` |
| `transformer.encoder.final_layernorm.weight` | `model.norm.weight` |
| `transformer.output_layer.weight` | `lm_head.weight` (not tied) |

`transformer.rotary_pos_emb.inv_freq` is recomputed natively and dropped. Both sides rotate
interleaved pairs of the first half of a head, so no row is permuted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecc_fed.core.errors import ModelError
from ecc_fed.end_model.chatglm3.geometry import Geometry

DROPPED = "transformer.rotary_pos_emb.inv_freq"
_MAX_NAMES = 3


@dataclass(frozen=True, slots=True)
class Mapped:
    """Native tensor `name` is rows [start, stop) of original tensor `source`."""

    name: str
    source: str
    start: int
    stop: int
    shape: tuple[int, ...]


def map_weights(geometry: Geometry) -> list[Mapped]:
    """Every native tensor of a model of this geometry."""
    hidden, wide = geometry.hidden, geometry.intermediate
    mapped = [_whole("model.embed_tokens.weight", "transformer.embedding.word_embeddings.weight",
                     (geometry.vocabulary, hidden))]  # fmt: skip
    for layer in range(geometry.layers):
        old, new = f"transformer.encoder.layers.{layer}", f"model.layers.{layer}"
        mapped += [
            _whole(f"{new}.input_layernorm.weight", f"{old}.input_layernorm.weight", (hidden,)),
            *_split_fused(geometry, f"{new}.self_attn", f"{old}.self_attention.query_key_value"),
            _whole(f"{new}.self_attn.o_proj.weight", f"{old}.self_attention.dense.weight",
                   (hidden, geometry.query_rows)),
            _whole(f"{new}.post_attention_layernorm.weight", f"{old}.post_attention_layernorm.weight", (hidden,)),
            _whole(f"{new}.mlp.gate_up_proj.weight", f"{old}.mlp.dense_h_to_4h.weight", (2 * wide, hidden)),
            _whole(f"{new}.mlp.down_proj.weight", f"{old}.mlp.dense_4h_to_h.weight", (hidden, wide)),
        ]  # fmt: skip
    mapped.append(_whole("model.norm.weight", "transformer.encoder.final_layernorm.weight", (hidden,)))
    mapped.append(_whole("lm_head.weight", "transformer.output_layer.weight", (geometry.vocabulary, hidden)))
    return mapped


def original_shapes(geometry: Geometry) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that an original checkpoint must hold."""
    rows: dict[str, int] = {}
    rest: dict[str, tuple[int, ...]] = {}
    for entry in map_weights(geometry):
        rows[entry.source] = max(rows.get(entry.source, 0), entry.stop)
        rest[entry.source] = entry.shape[1:]
    return {name: (rows[name], *rest[name]) for name in rows}


def check_names_and_shapes(found: Mapping[str, tuple[int, ...]], geometry: Geometry, where: str) -> None:
    """Refuses a checkpoint that is not exactly one of this geometry.

    Raises:
        ModelError: tensors are missing, unknown or of another shape; they are named.
    """
    wanted = original_shapes(geometry)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ModelError(f"{where} lacks {_listed(missing)}; download every shard of the checkpoint again")
    unknown = sorted(name for name in found if name not in wanted and name != DROPPED)
    if unknown:
        raise ModelError(
            f"{where} holds {_listed(unknown)}, which ChatGLM3 does not have; give the plain model "
            "(adapters merged, no prefix encoder, not quantized)"
        )
    for name, shape in wanted.items():
        if found[name] != shape:
            raise ModelError(
                f"{where}: {name} has shape {found[name]}, but config.json means {shape}; "
                "config.json and weights do not belong together"
            )
    rotary = (geometry.head_dim // 4,)
    if DROPPED in found and found[DROPPED] != rotary:
        raise ModelError(f"{where}: {DROPPED} has shape {found[DROPPED]}, but kv_channels means {rotary}")


def _whole(name: str, source: str, shape: tuple[int, ...]) -> Mapped:
    return Mapped(name, source, 0, shape[0], shape)


def _split_fused(geometry: Geometry, new: str, old: str) -> list[Mapped]:
    mapped = []
    start = 0
    for letter, rows in zip("qkv", (geometry.query_rows, *[geometry.key_value_rows] * 2), strict=True):
        for leaf, rest in (("weight", (geometry.hidden,)), ("bias", ())):
            mapped.append(Mapped(f"{new}.{letter}_proj.{leaf}", f"{old}.{leaf}", start, start + rows, (rows, *rest)))
        start += rows
    return mapped


def _listed(names: list[str]) -> str:
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
