"""Writes docs/reference: ``python -m reference``."""

from __future__ import annotations

from reference.pages import FOLDER, PAGES


def main() -> None:
    """Writes every page whose text has changed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, made in PAGES.items():
        path, text = FOLDER / name, made()
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(f"wrote docs/reference/{name}")


if __name__ == "__main__":
    main()
