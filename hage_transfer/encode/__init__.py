"""Sections, patches and slides to feature files; embeddings; conversion between layouts."""
