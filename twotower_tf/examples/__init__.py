"""Events to examples: histories, the feature schema, the Beam build, TFRecords and their reader."""
