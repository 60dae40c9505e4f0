"""Export of sparse models and the check that says whether they can be deployed."""
