"""Pretraining of HAGE on spatial transcriptomics."""
