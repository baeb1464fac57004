"""What a reader of a run sees: the page with its figures, the cards of corpora and influence."""
