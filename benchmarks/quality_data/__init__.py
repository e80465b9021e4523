"""The data sets of the quality benchmark, and what every method gets of them."""
