"""What proposes items beside the index, and how all is put on one scale."""
