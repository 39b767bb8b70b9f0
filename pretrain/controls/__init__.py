"""Controls: other gene embeddings, genes kept from training, and their zero-shot scores."""
