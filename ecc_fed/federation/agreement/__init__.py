"""How shops' replies to public queries become one: pure functions of texts and weights."""
