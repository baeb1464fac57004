"""Raw text on its way to a prompt: documents, passages cut from them, formulas, draws by hash."""
