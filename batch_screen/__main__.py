"""``python -m batch_screen`` is the command ``batch-screen``."""

from batch_screen.cli.main import main

if __name__ == "__main__":
    main()
