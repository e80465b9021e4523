"""What several rooms compute in TensorFlow: fingerprints and hashing, gathering over replicas."""
