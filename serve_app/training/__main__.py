"""``python -m serve_app.training``."""

from .command import main

if __name__ == "__main__":
    main()
