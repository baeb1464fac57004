"""What rules and planning need: checks, code versions, how many jobs of what size, the nodes."""
