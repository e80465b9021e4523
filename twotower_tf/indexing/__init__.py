"""From item tower to release: candidates, embeddings, index, stitched SavedModel, gates."""
