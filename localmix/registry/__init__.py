"""Names of models, and the files they stand for on this disk and on the Hub."""
