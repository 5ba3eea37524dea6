"""Messages to token ids: templates, tokenizing, saved conversations."""
