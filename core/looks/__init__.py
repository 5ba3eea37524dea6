"""How statuses look and what they are called, wherever they are shown: terminals, exports, reports, the served page."""
