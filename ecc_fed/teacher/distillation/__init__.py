"""The cloud's replies to a whole corpus, as a data set."""
