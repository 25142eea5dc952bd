"""The paper's own study: its tables on the embedded models, and what each method costs."""
