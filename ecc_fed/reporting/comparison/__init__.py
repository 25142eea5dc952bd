"""Local or aggregated? By arm and method, shop by shop, by data and unlikeness, by cost, and over time."""
