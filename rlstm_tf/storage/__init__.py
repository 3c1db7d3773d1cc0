"""Files, local or in a store: atomic writes, checksums, remote paths."""
