"""Reproduce: the graph of runs and evaluations behind a figure, and the claims about them.

The engine knows nothing of TensorFlow; what a kind of piece does is handed to it.
"""
