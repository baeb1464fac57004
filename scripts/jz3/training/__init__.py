"""From texts to a trained model: examples, packs, attention inside documents, the trainer."""
