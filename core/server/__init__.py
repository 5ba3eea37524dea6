"""An OpenAI-compatible endpoint over one pair. Needs the extra `serve`; nothing else imports it."""
