"""What a run leaves behind: figures, traces, and what they were measured on."""
