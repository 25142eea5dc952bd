"""How a shop answers; a class for each way, and what uses them alike."""
