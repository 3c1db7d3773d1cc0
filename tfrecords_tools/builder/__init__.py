"""Videos in, shards out."""
