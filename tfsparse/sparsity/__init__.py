"""Which weights stay, how many, and how that changes during training."""
