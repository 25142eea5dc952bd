"""The one opener of Hugging Face models: end model, judges and local teacher come in here."""
