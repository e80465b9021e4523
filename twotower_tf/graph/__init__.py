"""What several rooms compute in TensorFlow: fingerprints, ragged lists, gathering over replicas."""
