.PHONY: docs install check test slow lint types format snapshots pictures

install:
	pip install -e '.[tiny,dev]'

check: lint types test

test:
	pytest

slow:
	OMP_THREAD_LIMIT=1 pytest -m slow -n 2

lint:
	ruff check .
	ruff format --check .

# A checkout without symbolic links holds them as text files.
types:
	cd typings/speccas && for each in cli core profiles; do [ -L $$each ] || ln -sfn ../../$$each $$each; done
	mypy

format:
	ruff check --fix .
	ruff format .

# What views and help look like, as text: read the difference before you commit it.
snapshots:
	SPECCAS_SNAPSHOTS=write pytest tests/cli/view/test_snapshots.py

# Pictures of the README and of docs/, from recorded runs: docs/pictures (`python scripts/pictures.py --record` makes
# them anew, on a machine that is quiet) and docs/cascade.jsonl, which was recorded with
# speccas compare "Explain what a cascade is." --rule token --rule confidence -n 64 -k 4 --force --trace docs/cascade.jsonl
pictures:
	python scripts/pictures.py

# docs/rules.md, docs/schema and docs/cli.md, from the classes and the commands.
docs:
	python scripts/rule_docs.py
	python scripts/cli_docs.py
	python scripts/schemas.py
