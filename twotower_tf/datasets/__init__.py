"""Where events come from: files in common formats, published data sets, the simulator."""
