"""The loss between solutions: lines, Bezier curves, planes, and how to walk them fast."""
