"""The nouns of Pileus: frozen values without side effects. Imports nothing of the project."""
