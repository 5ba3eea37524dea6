"""An expert that a server runs: it tells, over HTTP, some probabilities of each position of a draft."""
