"""The recipe of the tiny drafter: data, training, export. Nothing of speccas imports it; its steps alone need torch."""
