"""A model answers benchmarks: how it is asked, programs it runs, several answers to a problem."""
