"""The stitched SavedModel: signatures, retrieval, fresh items, what lies beside it; asking it."""
