"""What is drawn: tokens, tables, figures, progress."""
