"""What can be said about a network from shapes alone. Nothing here runs during training or evaluation."""
