"""Expression of sections and slides by trained encoders."""
