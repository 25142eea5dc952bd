"""Its NLP engines."""


class NoOpNlpEngine:
    def __init__(self, models):
        self.languages = [model["lang_code"] for model in models]
