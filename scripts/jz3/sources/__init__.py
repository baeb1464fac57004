"""What is there before all else: files by their content, and models as plain checkpoints."""
