"""What is here and what it is: pairs, models, whether two fit, and this machine; each a document."""
