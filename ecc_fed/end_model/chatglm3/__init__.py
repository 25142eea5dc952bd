"""ChatGLM3-6B without its original code: the checkpoint is converted once to transformers' own Glm."""

from ecc_fed.end_model.chatglm3.conversion import ConversionReport, convert_chatglm3

__all__ = ["ConversionReport", "convert_chatglm3"]
