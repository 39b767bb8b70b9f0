"""The trainable parts of HAGE and the encoder directory."""
