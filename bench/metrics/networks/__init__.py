"""Networks that turn pictures, captions or pairs of them into rows of numbers; `loading.load` makes one ready."""
