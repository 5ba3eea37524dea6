"""The interactive chat: its loop, its commands, its line editor."""
