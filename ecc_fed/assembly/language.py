"""The language of a run's dialogues, and what follows from it: the prompts' words, and who can read or speak it."""

from __future__ import annotations

from dataclasses import replace

from ecc_fed.assembly.schema import RunConfig
from ecc_fed.assembly.targets import locate
from ecc_fed.core.completion import Language
from ecc_fed.core.errors import ConfigError
from ecc_fed.core.language import MIXED, OTHER
from ecc_fed.core.protocols import Corpus
from ecc_fed.teacher.wording import PromptLayout

_NAMES = {OTHER: "in a language that was not recognised"}


def spoken_in(corpus: Corpus) -> str | None:
    """The language that the corpus has told from its dialogues, where it does so (`spoken`); else None.

    Raises:
        CorpusError: as `Corpus.shop_ids`.
    """
    spoken = getattr(corpus, "spoken", None)
    return spoken if isinstance(spoken, str) else None


def with_language(config: RunConfig, spoken: str | None) -> RunConfig:
    """The config with `corpus.language` as declared or else as `spoken`, and with prompts in it unless they are set.

    Raises:
        ConfigError: several are spoken, and none is declared.
    """
    declared = config.corpus.get("language")
    language = declared if isinstance(declared, str) else spoken
    if language == MIXED:
        raise ConfigError(
            "The dialogues are in several languages, while prompts are worded in one and some judges read one. Set "
            "corpus.language=CODE (such as zh or en) to have them taken as of one, or keep one language's dialogues in "
            "the file."
        )
    prompts: Language = config.gateway.language or ("zh" if language in (None, "zh") else "en")
    corpus = config.corpus if language is None else {**config.corpus, "language": language}
    return replace(config, corpus=corpus, gateway=replace(config.gateway, language=prompts))


def prompt_layout(config: RunConfig) -> PromptLayout:
    """The words around what goes to the cloud, in the prompts' language."""
    return config.prompt.layout(config.gateway.language or "zh")


def system_text(config: RunConfig) -> str | None:
    """What the end model is told before every dialogue, in the prompts' language; None: nothing."""
    return config.prompt.system_text(config.gateway.language or "zh")


def why_withheld(config: RunConfig) -> str | None:
    """Why no reply is scored, with the remedy; None where the judge reads the dialogues or their language is unknown.

    `config` is from `with_language`.
    """
    reads, language = config.judge.languages, config.corpus.get("language")
    if reads is None or language is None or language in reads:
        return None
    english = ", judge=minilm for English" if language == "en" else ""
    return (
        f"The judge reads {', '.join(reads)}, and the dialogues are {_NAMES.get(language, language)}: every score is "
        "withheld, and the cloud is asked for none. Set judge=lexical or judge=e5, which read any language"
        f"{english}, or corpus.language=CODE if it was told wrongly."
    )


def why_unspoken(config: RunConfig) -> str | None:
    """Why the shops' replies will be of no use, with the remedy; None where the end model may speak the language.

    Only the embedded model is known to speak one language alone, and only where it is asked. `config` is from
    `with_language`.
    """
    language = config.corpus.get("language")
    if config.end_model.path != "embedded" or language in (None, "zh"):
        return None
    if not getattr(locate(config.answering, "answering"), "asks_model", True):
        return None
    preset = "end_model=smollm2_135m or " if language == "en" else ""
    return (
        f"The embedded end model speaks Chinese alone, and the dialogues are {_NAMES.get(language, language)}: its "
        f"replies will be of no use. Set {preset}end_model.path=FOLDER, any Hugging Face causal LM that speaks it; "
        "arms retrieval and cloud need none."
    )
