"""Command lines: flags in, one-line errors and exit statuses out."""
