"""Questions about a network that shapes alone answer. Nothing in here runs when a network is trained or evaluated."""
