"""Videos in, sharded TFRecords with an index out, and the checks of both."""
