"""What solutions are like: curvature, signal at initialisation, gradient flow, similarity."""
