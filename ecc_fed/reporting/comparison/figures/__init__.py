"""The comparisons drawn: inline SVG, as all plots of the page."""
