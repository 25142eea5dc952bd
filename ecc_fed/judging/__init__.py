"""How good a reply is: similarity, relevance, Eq. (1), and the customer's own feedback."""
