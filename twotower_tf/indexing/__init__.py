"""From item tower to release: embeddings, index, stitched SavedModel, gates, recommendations."""
