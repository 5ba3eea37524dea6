"""Where drafts come from: a second model, or the text itself."""
