"""Decoding: rules, verification and the loop. Only token ids and numbers come in here."""
