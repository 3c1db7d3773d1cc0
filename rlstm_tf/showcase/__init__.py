"""A page in the browser that shows what an exported network sees in a video."""
