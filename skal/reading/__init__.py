"""What is read of a learner: its models, nets, gradients, and rows in a space."""
