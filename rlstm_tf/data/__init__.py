"""Videos and their shards, up to batches. Knows no models and no flags."""
