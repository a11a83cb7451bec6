"""Models: what each is (`table`), where its files are, and how they become pipelines of encode, denoise, decode."""
