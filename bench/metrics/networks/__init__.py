"""Networks that turn images, captions or pairs of them into rows of numbers; `loading.load` makes one ready."""
