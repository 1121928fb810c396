.PHONY: setup demo lint test docs

setup: ## Debian packages, virtual environment, PlatformIO core directory
	@tools/setup.sh

demo: setup ## train on an emulated 8 KB STM32 and prove it bit for bit
	@.venv/bin/fixgrad demo

lint: setup
	.venv/bin/ruff check
	.venv/bin/mypy
	for generator in tools/generate_*.py tools/scalar_averages.py; do .venv/bin/python $$generator --check || exit 1; done

test: lint
	.venv/bin/python -m pytest -n 2 --dist worksteal

docs: setup ## the documentation as a site, build/site/index.html
	.venv/bin/mkdocs build -q
