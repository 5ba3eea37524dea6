"""The recipe of the tiny drafter: data, training, export. Nothing of speccas imports it; torch only where a step runs."""
