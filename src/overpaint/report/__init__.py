"""What an evaluation found, as JSON and as a page; reports side by side."""
