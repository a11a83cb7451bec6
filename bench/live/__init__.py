"""Pictures while you type: the page, whose turn it is at the card, and how long a picture is felt to take."""
