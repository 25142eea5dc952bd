"""What the paper prints: its Tables V and VI, in its own figures and words.

Source: the paper's Section IV.C (end model ChatGLM3-6B, cloud model Gemini 1.5 pro, score_alpha 0.8, Theta 0.2).
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "the paper's Section IV.C: ChatGLM3-6B judged against Gemini 1.5 pro, score_alpha 0.8, Theta 0.2"
ORIGINAL = ("original", 0)
BEST = ("lora", 15000)
# What no model and no training gets: each shop copies the answer of its own most similar question. Not the paper's.
COPY = ("nearest_example", 0)
# Steps of the paper that one step of the embedded model's studies stands for.
SCALE = 60.0
# (method, steps) of Table VI's columns, in its order.
COLUMNS = (ORIGINAL, ("prefix_tuning", 3000), ("p_tuning_v2", 3000), ("lora", 3000), ("lora", 5000), BEST)
_NAMES = {
    "original": "Original model",
    "nearest_example": "Copy of the nearest own example",
    "prefix_tuning": "Prefix-Tuning",
    "p_tuning_v2": "P-Tuning v2",
    "lora": "LoRA",
}


@dataclass(frozen=True, slots=True)
class PaperQuery:
    """A row of Table VI, and the replies that Table V prints for it, in the paper's English."""

    text: str
    scores: tuple[float, ...]
    replies: tuple[str, ...] = ()


QUERIES = (
    PaperQuery(
        "Hello",
        (0.415, 0.415, 0.415, 0.844, 0.844, 0.844),
        (
            "Hello! I'm the AI assistant ChatGLM3-6B, nice to meet you, feel free to ask me any questions.",
            "Hello! I'm the AI assistant ChatGLM3-6B, nice to meet you, feel free to ask me any questions.",
            "Hello! I'm the AI assistant ChatGLM3-6B, nice to meet you, feel free to ask me any questions.",
            "Hello",
            "Hello",
        ),
    ),
    PaperQuery(
        "Can I choose the delivery service?",
        (0.324, 0.186, 0.324, 0.463, 0.693, 0.695),
        (
            "Sure. As an artificial intelligence assistant, I can recommend some delivery companies for you to choose. "
            "[…]",
            "Are you inquiring about the option of a delivery company? Yes, you can choose a delivery company to send "
            "your items. […]",
            "Of course you can, as an artificial intelligence assistant, I will recommend some delivery companies for "
            "you. […]",
            "Of course, dear customer",
            "Dear customer, you can choose the delivery service.",
        ),
    ),
    PaperQuery(
        "520401029636",
        (0.162, 0.035, 0.045, 0.045, 0.045, 0.024),
        (
            "Hello! This looks like a string of numbers, what can I do for you please?",
            'Hello, according to the number sequence you provided "520401029636", I am unable to provide the '
            "appropriate answer or information at this time. […]",
            'I\'m sorry, I cannot understand the number sequence you provided "520401029636". […]',
            "Hello",
            "Hello",
        ),
    ),
    PaperQuery("Can I get a discount?", (0.171, 0.267, 0.168, 0.588, 0.392, 0.495)),
    PaperQuery(
        "This is so frustrating. I've been waiting for this delivery since yesterday and haven't dared to leave the "
        "house.",
        (0.408, 0.253, 0.473, 0.469, 0.398, 0.697),
    ),
    PaperQuery("Will you ship the order if I purchase it today?", (0.356, 0.346, 0.423, 0.777, 0.522, 0.733)),
)


def column_name(column: tuple[str, int]) -> str:
    """As the paper heads it, such as "LoRA 3000 steps"."""
    method, steps = column
    name = _NAMES.get(method, method)
    return f"{name} {steps} steps" if steps else name


def scaled_steps(paper_steps: int, scale: float) -> int:
    """The paper's steps divided by `scale`, rounded."""
    return round(paper_steps / scale)


def paper_steps(steps: int, scale: float) -> int:
    """The paper's steps that `steps` stand for: those of its table where they round to `steps`, else their product."""
    known = {scaled_steps(column[1], scale): column[1] for column in COLUMNS if column[1]}
    return known.get(steps, round(steps * scale))


def paper_means() -> dict[tuple[str, int], float]:
    """The mean over the six queries of every column; the paper does not print it."""
    return {
        column: sum(query.scores[index] for query in QUERIES) / len(QUERIES) for index, column in enumerate(COLUMNS)
    }
