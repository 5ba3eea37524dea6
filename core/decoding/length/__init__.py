"""How much to draft: latencies, acceptance, and the policy over both."""
