"""Tables and Altair charts made from run folders; nothing here imports TensorFlow."""
